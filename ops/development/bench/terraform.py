"""A description as Terraform's JSON for the provider that Pulumi's plugin is made of."""

from collections.abc import Mapping
from typing import Any

from pydantic.alias_generators import to_snake

from ops.development.bench.description import Description

# What Pulumi puts in the plural (terraform-provider-docker, docs/resources/container.md).
_SINGULAR = {
    "adds": "add",
    "drops": "drop",
    "entrypoints": "entrypoint",
    "envs": "env",
    "hosts": "host",
    "tests": "test",
    "uploads": "upload",
    "ulimits": "ulimit",
}


def document(description: Description) -> dict[str, Any]:
    """The content of a `main.tf.json`."""
    networks = {item["name"]: _arguments(item) for item in description.networks}
    volumes = {item["name"]: _arguments(item) for item in description.volumes}
    containers = {}
    for item in description.containers:
        arguments = _arguments(item.arguments)
        joined = [network["name"] for network in arguments.get("networks_advanced") or ()]
        mounted = [mount["source"] for mount in arguments.get("mounts") or ()]
        containers[item.name] = {
            **arguments,
            "depends_on": [
                *(f"docker_container.{name}" for name in item.after),
                *(f"docker_network.{name}" for name in joined),
                *(f"docker_volume.{name}" for name in mounted if name in volumes),
            ],
        }
    found = {
        "docker_container": containers,
        "docker_network": networks,
        "docker_volume": volumes,
    }
    return {
        "terraform": {"required_providers": {"docker": {"source": "kreuzwerker/docker"}}},
        # An empty block is refused.
        "resource": {kind: items for kind, items in found.items() if items},
    }


def _arguments(value: Any) -> Any:
    match value:
        case Mapping():
            # Maps of the user's own, such as options of a log, keep their keys.
            return {
                _SINGULAR.get(key, to_snake(key)): item if key in _FREE else _arguments(item)
                for key, item in value.items()
            }
        case list():
            return [_arguments(item) for item in value]
    return _interpolated(value)


_FREE = frozenset({"logOpts", "options", "sysctls", "tmpfs"})


def _interpolated(value: Any) -> Any:
    """Text in which no `${` begins an expression."""
    return value.replace("${", "$${").replace("%{", "%%{") if isinstance(value, str) else value
