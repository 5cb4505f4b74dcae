"""The backend of a stack's state and secrets: the user's own Pulumi login, or a local one."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.build.toolchain import PLUGINS, Toolchain
from ops.paths import ROOT, STATE, cache
from ops.stacks import passphrase


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


def backend(toolchain: Toolchain, *, stack: str, encrypted: bool = False) -> Backend:
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
        return Backend(passphrase.added(environment, stack=stack, encrypted=encrypted), local=False)
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
    return Backend(passphrase.added(environment, stack=stack, encrypted=encrypted), local=True)


def _logged_in() -> bool:
    credentials = (
        Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi") / "credentials.json"
    )
    try:
        return bool(json.loads(credentials.read_text()).get("current"))
    except (OSError, ValueError):
        return False


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


def read_record(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if it is missing or unreadable."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found
