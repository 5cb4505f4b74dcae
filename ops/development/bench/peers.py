"""The tools under comparison: each brings a description into being, changes it, and removes it."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import docker
import yaml

from ops import console
from ops.development.bench import compose, terraform
from ops.development.bench.description import Description
from ops.development.bench.tools import Tool
from ops.stacks import private


class Peer(Protocol):
    """One tool."""

    @property
    def title(self) -> str:
        """Its name and version."""

    def write(self, description: Description) -> None:
        """Writes down what is wanted; that is not timed."""

    def apply(self, *, refresh: bool) -> None:
        """Returns once it is there and healthy. Raises Failed."""

    def remove(self) -> None:
        """Removes it, volumes included."""


@dataclass(frozen=True, slots=True)
class Compose:
    """Docker Compose."""

    tool: Tool
    folder: Path

    @property
    def title(self) -> str:
        """Its name and version."""
        return f"Compose {self.tool.version}"

    def write(self, description: Description) -> None:
        """As a compose file, and files beside it."""
        content = compose.document(description, self.folder / "files")
        private.write(self.folder / "compose.yaml", yaml.safe_dump(content, sort_keys=False))

    def apply(self, *, refresh: bool) -> None:  # noqa: ARG002 - it always looks at the engine
        """`up --wait`."""
        self._run("up", "--detach", "--wait")

    def remove(self) -> None:
        """`down --volumes`."""
        self._run("down", "--volumes", "--timeout", "1")

    def _run(self, *arguments: str) -> None:
        file = self.folder / "compose.yaml"
        console.run(
            [*self.tool.command, "--file", str(file), "--project-name", "gwbench", *arguments]
        )


@dataclass(frozen=True, slots=True)
class Terraform:
    """Terraform or OpenTofu with the provider that Pulumi's plugin is made of."""

    tool: Tool
    provider: Path
    folder: Path

    @property
    def title(self) -> str:
        """Its name and version."""
        return self.tool.version

    def write(self, description: Description) -> None:
        """As JSON."""
        # A line each, so that a message about one shows no other, which may hold a secret.
        content = json.dumps(terraform.document(description), indent=1)
        private.write(self.folder / "main.tf.json", content)
        override = f'dev_overrides {{ "kreuzwerker/docker" = "{self.provider}" }}'
        (self.folder / "terraform.rc").write_text(f"provider_installation {{ {override} }}\n")

    def apply(self, *, refresh: bool) -> None:
        """`apply`, ten resources at a time, which is its default."""
        self._run("apply", "-auto-approve", f"-refresh={'true' if refresh else 'false'}")

    def remove(self) -> None:
        """`destroy`."""
        self._run("destroy", "-auto-approve")

    def _run(self, *arguments: str) -> None:
        environment = {**os.environ, "TF_CLI_CONFIG_FILE": str(self.folder / "terraform.rc")}
        console.run([*self.tool.command, *arguments, "-no-color"], cwd=self.folder, env=environment)


@dataclass(slots=True)
class Scratch:
    """A Pulumi stack of its own, with a state that goes with its folder; what it declares comes
    from a program and its configuration.
    """

    folder: Path
    program: Path
    environment: Mapping[str, str]

    @property
    def title(self) -> str:
        """The project's name."""
        return "Groundwork"

    def configure(self, config: Mapping[str, object], secrets: Mapping[str, str]) -> None:
        """Creates or changes the stack's file."""
        project = {"name": "groundwork", "runtime": "python", "main": str(self.program)}
        (self.folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        file = self.folder / "Pulumi.bench.yaml"
        before = yaml.safe_load(file.read_text()) if file.exists() else {}
        kept = {key: before["config"][key] for key in secrets if key in before.get("config", {})}
        content = {**before, "config": {**config, **kept}}
        file.write_text(yaml.safe_dump(content, sort_keys=False))
        if not before:
            self.pulumi("stack", "init", "bench")
        for key, value in secrets.items():
            if key not in kept:
                self.pulumi("config", "set", "--secret", key, value)

    def write(self, description: Description) -> None:
        """Nothing: it is what descriptions are made from."""

    def apply(self, *, refresh: bool) -> None:
        """`up`."""
        self.pulumi("up", "--yes", "--skip-preview", *(["--refresh"] if refresh else []))

    def export(self) -> list[Mapping[str, object]]:
        """The state's resources, secrets revealed."""
        file = self.folder / "export.json"
        self.pulumi("stack", "export", "--show-secrets", "--file", str(file))
        found: list[Mapping[str, object]] = json.loads(file.read_text())["deployment"]["resources"]
        return found

    def remove(self) -> None:
        """`destroy`, and the volumes that it keeps."""
        names = [
            str(item["id"])
            for item in self.export()
            if item["type"] == "docker:index/volume:Volume" and "id" in item
        ]
        self.pulumi("destroy", "--yes", "--skip-preview")
        client = docker.from_env()
        try:
            for name in names:
                for volume in client.volumes.list(filters={"name": f"^{name}$"}):
                    volume.remove()
        finally:
            client.close()

    def pulumi(self, *arguments: str) -> str:
        """Runs the CLI in the folder; its output. Raises Failed."""
        return console.run(
            ["pulumi", "--non-interactive", *arguments],
            cwd=self.folder,
            env={**self.environment, "PULUMI_STACK": "bench"},
        )
