"""UTF-8 in any locale: for files, output and paths."""

import locale
import os
import sys


def ensure() -> None:
    """Starts this command again in Python's UTF-8 mode (PEP 540) if the locale is another one."""
    if sys.flags.utf8_mode or locale.getpreferredencoding(do_setlocale=False).upper() == "UTF-8":
        return
    os.environ["PYTHONUTF8"] = "1"
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - the same command
