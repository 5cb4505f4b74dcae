"""The backend of a stack's state and secrets: the user's own Pulumi login, or a local one."""

import json
import os
import secrets
import string
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.secret import weakness
from ops import console
from ops.build.toolchain import PLUGINS, Toolchain
from ops.paths import ROOT, STATE, cache

_ALPHABET = string.ascii_letters + string.digits
PASSPHRASE_FILE = STATE / "passphrase"
MASTER_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Backend:
    """A backend and the variables under which Pulumi uses it."""

    environment: dict[str, str]
    local: bool

    def describe(self) -> str:
        """A description for messages."""
        return (
            f"local, in {STATE.relative_to(ROOT)}/state" if self.local else "your own Pulumi login"
        )


def backend(toolchain: Toolchain, *, encrypted: bool = False) -> Backend:
    """The user's login if there is one, else a `file://` backend with a generated passphrase
    (0600).

    GROUNDWORK_LOCAL_STATE=1 forces the local one. No passphrase is generated for a stack that is
    already `encrypted`: a new one would not open it. Raises Failed if its own is missing.
    """
    environment = {**os.environ, **toolchain.environment()}
    own = not os.environ.get("GROUNDWORK_LOCAL_STATE")
    if own and (
        os.environ.get("PULUMI_BACKEND_URL")
        or os.environ.get("PULUMI_ACCESS_TOKEN")
        or _logged_in()
    ):
        return Backend(_with_passphrase(environment, encrypted=encrypted), local=False)
    (STATE / "state").mkdir(parents=True, exist_ok=True)
    home = cache() / "pulumi-home"
    _install_plugin(home, toolchain)
    environment |= {"PULUMI_BACKEND_URL": (STATE / "state").as_uri(), "PULUMI_HOME": str(home)}
    if toolchain.plugin is not None:
        # From Pulumi's home it is used silently; from the PATH with a warning at every command.
        environment["PATH"] = os.pathsep.join(
            part
            for part in environment["PATH"].split(os.pathsep)
            if part != str(toolchain.plugin.parent)
        )
    return Backend(_with_passphrase(environment, encrypted=encrypted), local=True)


def _logged_in() -> bool:
    credentials = (
        Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi") / "credentials.json"
    )
    try:
        return bool(json.loads(credentials.read_text()).get("current"))
    except (OSError, ValueError):
        return False


def _with_passphrase(environment: dict[str, str], *, encrypted: bool) -> dict[str, str]:
    if "PULUMI_CONFIG_PASSPHRASE" in environment or "PULUMI_CONFIG_PASSPHRASE_FILE" in environment:
        _check_passphrase(environment)
        return environment
    if not PASSPHRASE_FILE.exists() and encrypted:
        raise console.Failed(
            "this stack's file is encrypted with a passphrase that is missing here",
            f"copy it to {PASSPHRASE_FILE.relative_to(ROOT)}, or set PULUMI_CONFIG_PASSPHRASE or"
            " PULUMI_CONFIG_PASSPHRASE_FILE",
        )
    if not PASSPHRASE_FILE.exists():
        STATE.mkdir(parents=True, exist_ok=True)
        write_private(PASSPHRASE_FILE, generate(40))
        console.out.print(
            f"state: generated a passphrase in {PASSPHRASE_FILE.relative_to(ROOT)} (0600); keep a"
            " copy: without it the secrets cannot be read"
        )
    return {**environment, "PULUMI_CONFIG_PASSPHRASE_FILE": str(PASSPHRASE_FILE)}


def _check_passphrase(environment: Mapping[str, str]) -> None:
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


def _install_plugin(home: Path, toolchain: Toolchain) -> None:
    """Puts the plugin where a local backend's CLI looks first, so that it does not warn about the
    PATH.
    """
    if toolchain.plugin is None:
        return
    place = (
        home
        / "plugins"
        / f"resource-{toolchain.target}-v{PLUGINS[toolchain.target]}"
        / toolchain.plugin.name
    )
    if place.is_symlink() and place.resolve() == toolchain.plugin.resolve():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(toolchain.plugin)


def generate(length: int) -> str:
    """A random alphanumeric string that does not start with a digit and passes our own strength
    check.
    """
    while weakness(
        made := secrets.choice(string.ascii_letters)
        + "".join(secrets.choice(_ALPHABET) for _ in range(length - 1))
    ):
        continue
    return made


def instance_id() -> str:
    """A random id that tells this stack's resources from another clone's."""
    return secrets.choice(string.ascii_lowercase) + "".join(
        secrets.choice(string.ascii_lowercase + string.digits) for _ in range(5)
    )


def read_record(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if it is missing or unreadable."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found


def write_private(path: Path, text: str) -> None:
    """Writes a file atomically, readable only by its owner, whatever the umask."""
    descriptor, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
    # The new name is durable only once the folder is.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
