"""One stack of this tree, driven through the Pulumi CLI."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from infra import consent, validation
from infra.configuration import NAMESPACE, load
from infra.consent import Consent
from infra.refusal import PreflightError
from infra.secret import Secret
from infra.settings import Settings
from ops import console
from ops.build import toolchain
from ops.build.toolchain import Toolchain
from ops.paths import ROOT
from ops.stacks import generated, key_backup, progress, state

_WRONG_PASSPHRASE = re.compile(
    r"incorrect passphrase|passphrase must be set|failed to decrypt|message authentication failed",
    re.I,
)
_HOW_TO_OPEN = (
    "use the passphrase that this stack was created with: PULUMI_CONFIG_PASSPHRASE or"
    " PULUMI_CONFIG_PASSPHRASE_FILE (`make up` keeps the one it generates below"
    " ~/.local/share/groundwork), or `make recover KIT=…`"
)


_STACK_TYPE = "pulumi:pulumi:Stack"
# The key by which Pulumi marks a special value in JSON (sdk/go/common/resource/sig/sig.go).
_SECRET = "4dabf18193072939515e22adb298388d"  # noqa: S105 - a constant of Pulumi's


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack's name with the tools and the backend to drive it."""

    name: str
    tools: Toolchain
    backend: state.Backend

    @property
    def file(self) -> Path:
        """The stack's configuration."""
        return ROOT / f"Pulumi.{self.name}.yaml"

    @property
    def clustered(self) -> bool:
        """True if the stack's target is Kubernetes."""
        return self.tools.target == "kubernetes"

    @property
    def environment(self) -> dict[str, str]:
        """The variables under which the CLI is run."""
        return {**self.backend.environment, "PULUMI_STACK": self.name}

    def allowing(self, allowed: Consent) -> "Stack":
        """The same stack, whose program is allowed more than a person has allowed it."""
        empty = allowed.empty | consent.given().empty
        added = consent.variables(replace(allowed, empty=empty))
        environment = {**self.backend.environment, **added}
        return replace(self, backend=replace(self.backend, environment=environment))

    def config(self) -> dict[str, Any]:
        """The stack file's own keys, encrypted values as they stand."""
        return dict(_stack_file(self.name).get("config") or {})

    def show(self, *arguments: str, log: Path | None = None) -> int:
        """Runs the CLI with visible output; returns its exit status. Events are also written to
        `log`, one per line.
        """
        command = [
            "pulumi",
            *arguments,
            "--stack",
            self.name,
            *(["--event-log", str(log)] if log else []),
        ]
        # The flag is among those for debugging, as Pulumi's own Automation API asks for it.
        environment = {**self.environment, **({"PULUMI_DEBUG_COMMANDS": "true"} if log else {})}
        if interactive():
            return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        return progress.stream(
            [command[0], "--non-interactive", *command[1:]], cwd=ROOT, env=environment
        )

    def pulumi(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs the CLI in the tree and captures its output."""
        return subprocess.run(
            ["pulumi", "--non-interactive", *arguments],
            cwd=ROOT,
            env=self.environment,
            text=True,
            check=False,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
        )

    def ask(self, *arguments: str, stdin: str | None = None) -> str:
        """The CLI's output. Raises Failed, with a specific fix for a wrong passphrase."""
        done = self.pulumi(*arguments, stdin=stdin)
        if done.returncode != 0:
            raise self.failure(arguments, done.stderr + done.stdout)
        return done.stdout

    def failure(self, arguments: Sequence[str], output: str) -> console.Failed:
        """The meaning of a failed call of the CLI."""
        if _WRONG_PASSPHRASE.search(output):
            return console.Failed(
                f"the passphrase does not decrypt the stack `{self.name}`", _HOW_TO_OPEN
            )
        lines = [line for line in output.strip().splitlines() if line.strip()]
        return console.Failed(
            f"`pulumi {' '.join(arguments[:3])}` failed:\n    " + "\n    ".join(lines[-10:])
        )

    def outputs(self) -> dict[str, Any]:
        """The last deploy's outputs, secrets revealed. Raises Failed if there was none."""
        arguments = ("stack", "output", "--json", "--show-secrets", "--stack", self.name)
        done = self.pulumi(*arguments)
        if "no stack named" in done.stderr:
            raise console.Failed(
                f"the stack `{self.name}` does not exist", f"make up STACK={self.name}"
            )
        if done.returncode != 0:
            raise self.failure(arguments, done.stderr + done.stdout)
        found: dict[str, Any] = json.loads(done.stdout or "{}")
        if "services" not in found:
            raise console.Failed(
                f"the stack `{self.name}` is not deployed", f"make up STACK={self.name}"
            )
        return found

    def export(self) -> list[dict[str, Any]] | None:
        """The resources that the state records, or None if the stack does not exist.

        It includes secrets, so that a wrong passphrase is detected in the same call, with Failed.
        """
        arguments = ("stack", "export", "--show-secrets", "--stack", self.name)
        done = self.pulumi(*arguments)
        if "no stack named" in done.stderr:
            return None
        if done.returncode != 0:
            raise self.failure(arguments, done.stderr + done.stdout)
        deployment = json.loads(done.stdout).get("deployment") or {}
        return list(deployment.get("resources") or [])

    def initialise(self) -> list[dict[str, Any]]:
        """Creates the stack and the keys it needs, and prints which it adds to the stack file;
        returns the resources that the state records.
        """
        resources = self.export()
        if key_backup.restore(self.name, self.file):
            console.out.print(
                f"stack: restored this stack's own keys, which were missing from {self.file.name}"
            )
        if resources is None:
            self.ask("stack", "init", self.name)
            console.out.print(f"stack: created `{self.name}` ({self.backend.describe()})")
        if not resources:
            # Nothing encrypted is in the state yet, so only the stack's file can tell.
            self.check_passphrase()
        config = self.config()
        missing = [
            key for key in ("masterSecret", "instance") if f"{NAMESPACE}:{key}" not in config
        ]
        if missing and resources:
            raise console.Failed(
                f"`{self.name}` is deployed, but {self.file.name} no longer contains its"
                f" {' and '.join(missing)}",
                "restore the previous file: a new secret would not open the data",
            )
        added: list[str] = []
        if f"{NAMESPACE}:masterSecret" not in config:
            # On standard input: a command line can be read by every user of the machine.
            self.ask(
                "config",
                "set",
                "--secret",
                f"{NAMESPACE}:masterSecret",
                "--stack",
                self.name,
                stdin=generated.generate(generated.MASTER_LENGTH),
            )
            added.append("masterSecret (encrypted)")
        if f"{NAMESPACE}:instance" not in config:
            self.ask(
                "config",
                "set",
                f"{NAMESPACE}:instance",
                generated.instance_id(),
                "--stack",
                self.name,
            )
            added.append("instance")
        if added:
            console.out.print(
                f"stack: added to {self.file.name}: {', '.join(added)}, and the encryption salt"
            )
        key_backup.keep(self.name, self.file)
        return resources or []

    def settings(self) -> Settings:
        """The stack's settings, as the program will read them. Raises PreflightError."""
        shown = json.loads(
            self.ask("config", "--json", "--show-secrets", "--stack", self.name) or "{}"
        )
        flat = {
            key: json.dumps(item["objectValue"]) if "objectValue" in item else item.get("value", "")
            for key, item in shown.items()
        }
        loaded = load(
            flat, [key for key, item in shown.items() if item.get("secret")], stack=self.name
        )
        problems = validation.check(loaded)
        if problems:
            raise PreflightError(problems)
        return loaded

    def master(self) -> Secret:
        """The stack's master secret. Raises Failed if there is none, or it cannot be read."""
        return Secret(
            self.ask("config", "get", f"{NAMESPACE}:masterSecret", "--stack", self.name).strip()
        )

    def check_passphrase(self) -> None:
        """Raises Failed if the encrypted configuration cannot be read."""
        if any(isinstance(value, dict) and "secure" in value for value in self.config().values()):
            self.ask("config", "--stack", self.name, "--json", "--show-secrets")

    def set_images(self, source: str) -> None:
        """Stores the choice of the image source."""
        self.ask("config", "set", f"{NAMESPACE}:images", source, "--stack", self.name)
        key_backup.keep(self.name, self.file)


def outputs_of(resources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The outputs that exported resources record, secrets revealed; empty if there are none."""
    for resource in resources:
        if resource["type"] == _STACK_TYPE:
            found: dict[str, Any] = plain(resource.get("outputs") or {})
            return found if "services" in found else {}
    return {}


def plain(value: Any) -> Any:
    """An exported value with its secrets revealed, without Pulumi's own keys."""
    match value:
        case {"plaintext": str() as text} if _SECRET in value:
            return plain(json.loads(text))
        case Mapping():
            return {key: plain(item) for key, item in value.items() if key != "__defaults"}
        case list():
            return [plain(item) for item in value]
    return value


def open_stack(meanwhile: Callable[[Mapping[str, Any]], None] = lambda _: None) -> Stack:
    """The stack that STACK names (default `dev`), with its toolchain installed.

    `meanwhile` is called with the stack's configuration, if any tool has to be built.
    """
    name = stack_name()
    declared = _stack_file(name).get("config") or {}
    tools = toolchain.ensure(target_of(name), meanwhile=lambda: meanwhile(declared))
    encrypted = "encryptionsalt" in _stack_file(name)
    return Stack(name, tools, state.backend(tools, stack=name, encrypted=encrypted))


def instance_of(name: str) -> str | None:
    """The instance that a stack's file names, if any."""
    found = (_stack_file(name).get("config") or {}).get(f"{NAMESPACE}:instance")
    return found if isinstance(found, str) else None


def _stack_file(name: str) -> dict[str, Any]:
    file = ROOT / f"Pulumi.{name}.yaml"
    return (yaml.safe_load(file.read_text()) or {}) if file.exists() else {}


def stack_name() -> str:
    """The stack that STACK names. Raises Failed for an invalid name."""
    name = os.environ.get("STACK") or "dev"
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}", name):
        raise console.Failed(
            f"`{name}` is not a valid stack name",
            "use at most 31 lower-case letters, digits and hyphens",
        )
    return name


def target_of(name: str) -> str:
    """The stack's target, before anything is set up for it; a wrong one is refused later, with the
    other keys.
    """
    target = (_stack_file(name).get("config") or {}).get(f"{NAMESPACE}:target")
    return target if target in toolchain.PLUGINS else "docker"


def interactive() -> bool:
    """True if run interactively."""
    return sys.stdin.isatty() and sys.stdout.isatty()
