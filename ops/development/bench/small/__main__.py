"""A Pulumi program of as many small services as its configuration says, declared as the platform's
are.
"""

import pulumi

from infra.identity import Identity
from infra.services.registry import settings_model
from infra.spec import HealthCheck, Image, Limits, Platform, Service
from infra.targets.docker.facts import HostFacts
from infra.targets.docker.resources import DockerTarget
from infra.units import MIB

_config = pulumi.Config()
_settings = settings_model().model_validate(
    {
        "masterSecret": _config.require("master"),
        "instance": _config.require("instance"),
    },
    by_alias=True,
    by_name=False,
)
_image = Image(reference=_config.require("image"), version="1", recipe="base")


def _service(number: int) -> Service:
    return Service(
        name=f"small-{number}",
        kind="small",
        image=_image,
        limits=Limits(memory=32 * MIB, cpus=0.1),
        readiness=HealthCheck(command=("test", "-d", "/proc/1"), interval=1),
        user="65534:0",
        entrypoint=("sleep",),
        command=("infinity",),
        network="small",
        stop_grace=1,
    )


DockerTarget(
    _settings,
    Identity(
        project=pulumi.get_project(),
        stack=pulumi.get_stack(),
        instance=_config.require("instance"),
        master="0",
    ),
    HostFacts(memory=0, cpus=0),
).deploy(
    Platform(services=tuple(_service(number) for number in range(_config.require_int("count"))))
)
