"""What the Docker target declares, recorded by Pulumi's mocks."""

from dataclasses import dataclass, field
from typing import Any

import pulumi

from infra.spec import Platform
from infra.targets.docker import resources
from infra.targets.docker.facts import HostFacts
from tests.support.identity import IDENTITY
from tests.unit.conftest import make_platform, make_settings

CONTAINER, NETWORK, VOLUME = (
    "docker:index/container:Container",
    "docker:index/network:Network",
    "docker:index/volume:Volume",
)
IMAGE = "docker:index/remoteImage:RemoteImage"
LOADER = IDENTITY.name("files")


@dataclass
class Recorder(pulumi.runtime.Mocks):
    """Keeps every declared resource's inputs."""

    resources: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources.append((args.typ, args.name, dict(args.inputs)))
        computed = {"imageId": f"sha256:{args.name}"} if args.typ == IMAGE else {}
        return f"id-of-{args.name}", {**args.inputs, **computed}

    def call(
        self, args: pulumi.runtime.MockCallArgs
    ) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise AssertionError(args.token)

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Name to inputs. What fills the volumes of files is no container that runs."""
        return {
            name: inputs
            for typ, name, inputs in self.resources
            if typ == kind and (kind != CONTAINER or name != LOADER)
        }

    @property
    def loader(self) -> dict[str, Any]:
        return next(inputs for _, name, inputs in self.resources if name == LOADER)


def declare(
    source: str, *, api: tuple[int, ...] = (), filled: str | None = None, **keys: Any
) -> tuple[Platform, Recorder]:
    """Declares the platform under mocks and waits for all of it."""
    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, project="groundwork", stack="dev")
    settings = make_settings(images=source, **keys)
    platform = make_platform(images=source, **keys)
    ids = {service.image.reference: f"sha256:{service.name}" for service in platform.services}

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def run() -> None:
        resources.DockerTarget(
            settings,
            IDENTITY,
            HostFacts(memory=1, cpus=1, api=api, filled=filled, image_ids=ids),
        ).deploy(platform)

    run()
    return platform, recorder
