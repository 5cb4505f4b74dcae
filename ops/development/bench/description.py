"""A deployed stack's containers as plain data, read from Pulumi's state: other tools are given
these.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ops.stacks.stack import plain

_CONTAINER, _NETWORK, _VOLUME = (
    f"docker:index/{kind}" for kind in ("container:Container", "network:Network", "volume:Volume")
)


@dataclass(frozen=True, slots=True)
class Container:
    """A container's arguments, as the provider names them, and the containers that must be ready
    before it.
    """

    arguments: Mapping[str, Any]
    after: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name on the host."""
        return str(self.arguments["name"])

    @property
    def runs(self) -> bool:
        """False for the container that only holds files."""
        return self.arguments.get("mustRun") is not False


@dataclass(frozen=True, slots=True)
class Description:
    """Containers, networks and volumes of one stack."""

    containers: tuple[Container, ...]
    networks: tuple[Mapping[str, Any], ...]
    volumes: tuple[Mapping[str, Any], ...]

    def renamed(self, old: str, new: str, *, shift: int) -> "Description":
        """The same under names of its own, with its published ports moved by `shift`."""

        def moved(value: Any) -> Any:
            match value:
                case str():
                    return value.replace(old, new)
                case Mapping():
                    return {key: moved(item) for key, item in value.items()}
                case list():
                    return [moved(item) for item in value]
            return value

        def container(item: Container) -> Container:
            arguments = moved(item.arguments)
            for port in arguments.get("ports") or ():
                port["external"] += shift
            return Container(arguments, tuple(moved(list(item.after))))

        return replace(
            self,
            containers=tuple(map(container, self.containers)),
            networks=tuple(map(moved, self.networks)),
            volumes=tuple(map(moved, self.volumes)),
        )


def describe(resources: Iterable[Mapping[str, Any]]) -> Description:
    """The description of a stack from the resources of `pulumi stack export --show-secrets`."""
    listed = [item for item in resources if item.get("type") in (_CONTAINER, _NETWORK, _VOLUME)]
    names = {item["urn"]: item["inputs"]["name"] for item in listed}
    containers = {item["urn"] for item in listed if item["type"] == _CONTAINER}

    def of(kind: str) -> list[dict[str, Any]]:
        return [plain(item["inputs"]) for item in listed if item["type"] == kind]

    return Description(
        tuple(
            Container(
                plain(item["inputs"]),
                tuple(names[urn] for urn in item.get("dependencies") or () if urn in containers),
            )
            for item in listed
            if item["type"] == _CONTAINER
        ),
        tuple(of(_NETWORK)),
        tuple(of(_VOLUME)),
    )
