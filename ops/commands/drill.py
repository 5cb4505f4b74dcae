"""The drill: the last backup of a stack, restored into a scratch stack beside it.

The stack itself is never touched: the scratch stack has an instance, ports, networks and volumes of
its own, and may only read the repository. It is removed at the end, whatever happens.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import yaml

from infra.configuration import NAMESPACE
from infra.identity import name_prefix
from infra.services.platform import build
from infra.targets.checks import published
from ops import console, ports
from ops.commands import backups
from ops.paths import ROOT
from ops.stacks import generated
from ops.stacks.stack import Stack

_SUFFIX = "-drill"
# What restores nothing is left out, so that the drill needs little beside the stack itself.
_OFF = {"observability": {"enabled": False}, "litellm": {"enabled": False}}
_OFFSETS = range(10000, ports.EPHEMERAL, 13)


def run() -> None:
    """Restores the last backup into a scratch stack, verifies it, and reports the time."""
    stack, place, entry = backups.opened()
    config = stack.config()
    if config.get(f"{NAMESPACE}:target") == "kubernetes" and not _remote(config):
        raise console.Failed(
            "a scratch stack in a cluster cannot read a volume of another namespace",
            "set groundwork:backup.repository to an S3 bucket",
        )
    instance = str(config[f"{NAMESPACE}:instance"])
    began = time.monotonic()
    with _scratch(stack, entry) as scratch:
        # What is deployed is verified once it holds the data.
        scratch.do("up", "--no-health")
        deployed = time.monotonic()
        try:
            scratch.do("restore", f"--of={instance}", "--replace=all")
            restored = time.monotonic()
            scratch.do("health")
        except console.Failed:
            backups.keep_drill(place, entry, good=False, seconds=time.monotonic() - began)
            raise
        healthy = time.monotonic()
        backups.keep_drill(place, entry, good=True, seconds=healthy - began)
    console.out.print(
        f"\n[bold]drill of `{stack.name}`: passed[/bold]\n"
        f"  deploy {deployed - began:.0f} s, restore {restored - deployed:.0f} s, verify"
        f" {healthy - restored:.0f} s; recovered after {healthy - began:.0f} s"
    )


@dataclass(frozen=True, slots=True)
class _Scratch:
    """The scratch stack, with the passphrase of the stack whose file it is made of."""

    name: str
    passphrase: Mapping[str, str]

    def do(self, *arguments: str) -> None:
        """Runs one of `make`'s commands. Raises Failed if it does not succeed."""
        if self.call(*arguments) != 0:
            raise console.Failed(
                f"the drill failed: `{arguments[0]}` of the scratch stack did not succeed",
                "the reason is above; the stack itself was not touched",
            )

    def call(self, *arguments: str) -> int:
        """The exit status of the command."""
        command = [sys.executable, "-m", "ops", *arguments]
        environment = {**os.environ, **self.passphrase, "STACK": self.name}
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


@contextmanager
def _scratch(stack: Stack, entry: Mapping[str, Any]) -> Iterator[_Scratch]:
    """A stack file for the drill; afterwards the stack is purged and its file removed."""
    name = f"{stack.name}{_SUFFIX}"
    file = ROOT / f"Pulumi.{name}.yaml"
    if file.exists():
        raise console.Failed(
            f"{file.name} exists: another drill is running, or one was killed",
            f"python -m ops --stack {name} purge --confirm {name}, then remove the file",
        )
    content = yaml.safe_load(stack.file.read_text())
    config = {
        key: value
        for key, value in content["config"].items()
        if key.partition(":")[2] not in ("protect", *_OFF)
    }
    # Nobody keeps what MinIO would tell of requests.
    minio = {**(config.get(f"{NAMESPACE}:minio") or {}), "audit": False}
    declared = {
        "instance": generated.instance_id(),
        "portOffset": ports.free_offset(_published(stack), _OFFSETS),
        "backup": _reading(config, entry),
        "minio": minio,
        **_OFF,
    }
    config |= {f"{NAMESPACE}:{key}": value for key, value in declared.items()}
    # Secrets stay as they are encrypted, so the salt goes with them.
    file.write_text(yaml.safe_dump({**content, "config": config}, sort_keys=False))
    keys = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")
    known = {key: stack.environment[key] for key in keys if key in stack.environment}
    scratch = _Scratch(name, known)
    try:
        yield scratch
    finally:
        status = scratch.call("purge", "--confirm", name)
        file.unlink()
        if status != 0:
            console.err.print(
                f"drill: not everything of `{name}` could be removed; look for"
                f" {name_prefix(name, str(declared['instance']))}*"
            )


def _reading(config: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a backup that reads the stack's repository."""
    own = dict(config.get(f"{NAMESPACE}:backup") or {})
    own.pop("second", None)
    if not own.get("repository"):
        own["repository"] = {"path": str(_folder(entry))}
    return {**own, "readOnly": True}


def _folder(entry: Mapping[str, Any]) -> Path:
    """The folder on this host of the repository in the stack's own volume."""
    client = docker.from_env()
    try:
        mounts = client.containers.get(entry["container"]).attrs["Mounts"]
    finally:
        client.close()
    found = next(item["Source"] for item in mounts if item["Destination"] == "/backup")
    return Path(found) / "repository"


def _published(stack: Stack) -> list[int]:
    settings = stack.settings()
    return [number - settings.port_offset for _, _, number in published(build(settings))]


def _remote(config: Mapping[str, Any]) -> bool:
    own = config.get(f"{NAMESPACE}:backup") or {}
    return "s3" in (own.get("repository") or {})
