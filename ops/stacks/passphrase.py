"""The passphrase of a stack: the user's own, or one that is generated once and kept outside the
tree.
"""

from collections.abc import Mapping
from pathlib import Path

from infra.secret import weakness
from ops import console
from ops.paths import STATE
from ops.stacks import private
from ops.stacks.generated import generate

_NAME = "passphrase"
_LENGTH = 40
_OLD = STATE / _NAME


def added(environment: dict[str, str], *, stack: str, encrypted: bool) -> dict[str, str]:
    """The environment with a passphrase: the one it names, or the file of the stack's own.

    None is generated for a stack that is already `encrypted`: it would not open it. Raises Failed
    if its own is missing.
    """
    if "PULUMI_CONFIG_PASSPHRASE" in environment or "PULUMI_CONFIG_PASSPHRASE_FILE" in environment:
        _check(environment)
        return environment
    known = _file(stack)
    if known is None and encrypted:
        raise console.Failed(
            "this stack's file is encrypted with a passphrase that is missing here",
            f"copy it to {private.folder() / _NAME}, or set PULUMI_CONFIG_PASSPHRASE or"
            " PULUMI_CONFIG_PASSPHRASE_FILE; or `make recover KIT=…`",
        )
    if known is None:
        known = private.folder() / _NAME
        private.write(known, generate(_LENGTH))
        console.out.print(
            f"state: generated a passphrase in {known} (0600); without it the secrets cannot be"
            " read"
        )
    return {**environment, "PULUMI_CONFIG_PASSPHRASE_FILE": str(known)}


def keep(stack: str, text: str) -> Path:
    """Keeps the passphrase of one stack; returns where."""
    path = private.folder() / f"{stack}.{_NAME}"
    private.write(path, text)
    return path


def text_of(environment: Mapping[str, str]) -> str:
    """The passphrase that a backend's environment names."""
    if text := environment.get("PULUMI_CONFIG_PASSPHRASE"):
        return text
    return Path(environment["PULUMI_CONFIG_PASSPHRASE_FILE"]).read_text().rstrip("\n")


def _file(stack: str) -> Path | None:
    """A stack's own passphrase, or the tree's. One beside the state is moved out of the tree."""
    folder = private.folder()
    if _OLD.exists() and not (folder / _NAME).exists():
        private.write(folder / _NAME, _OLD.read_text())
        _OLD.unlink()
        console.out.print(f"state: moved the passphrase out of the tree, to {folder / _NAME}")
    names = (f"{stack}.{_NAME}", _NAME)
    return next((folder / name for name in names if (folder / name).exists()), None)


def _check(environment: Mapping[str, str]) -> None:
    """Raises Failed for an empty passphrase; warns of a weak one, the user's own choice."""
    source = "PULUMI_CONFIG_PASSPHRASE"
    if source in environment:
        passphrase = environment[source]
    else:
        source += "_FILE"
        path = Path(environment[source])
        try:
            passphrase = path.read_text().rstrip("\n")
        except (OSError, ValueError) as error:
            raise console.Failed(
                f"{source} is {path}, which cannot be read ({type(error).__name__})",
                "correct it, or unset it",
            ) from None
    if not passphrase:
        raise console.Failed(
            f"{source} is empty: anyone who can read the stack's file, which belongs in version"
            " control, could read every secret in it",
            "set a passphrase, or unset it: `make up` generates one",
        )
    if why := weakness(passphrase):
        console.err.print(
            f"warning: {source} is weak: {why}; it protects the secrets in the stack's file, which"
            " belongs in version control"
        )
