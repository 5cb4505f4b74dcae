"""The Pulumi program: settings, services, checks, target, outputs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
import yaml

from infra import configuration, invariants, outputs, preflight, services
from infra.identity import Identity
from infra.refusal import Refused
from infra.secret import Keyring, Secret
from infra.services.context import Context


def main() -> None:
    """Declares one stack, or raises RunError with every reason not to."""
    config = pulumi.runtime.get_config_env()
    settings = configuration.load(config, pulumi.runtime.get_config_secret_keys_env())
    problems = [*invariants.check(settings), *configuration.plain_text_in(_stack_file())]
    if problems:
        raise Refused(problems)
    context = Context(settings, Keyring(settings.master_secret))
    platform = services.build(settings)
    identity = Identity(
        project=pulumi.get_project(), stack=pulumi.get_stack(), instance=settings.instance,
        master=context.keyring.fingerprint,
    )  # fmt: skip

    # Imported here: the engine starts a provider's plug-in for every SDK package that is imported.
    from infra.targets import docker_host
    from infra.targets.docker import DockerTarget

    facts = docker_host.read_facts(platform, identity)
    problems = preflight.check(settings, platform, identity, facts)
    if problems:
        raise Refused(problems)
    target = DockerTarget(settings, identity, facts)
    target.deploy(platform)

    pulumi.export("identity", {**identity.labels, "prefix": identity.name("")})
    pulumi.export("images", settings.images)
    pulumi.export("bindAddress", settings.bind_address)
    pulumi.export(
        "services",
        {service.name: outputs.describe(service, container=identity.name(service.name), bind_address=settings.bind_address) for service in platform.services},
    )
    pulumi.export("networks", {name: identity.name(name) for name in sorted(target.networks)})
    pulumi.export("leftOut", [{"service": item.service, "reason": item.reason} for item in platform.left_out])
    pulumi.export("notes", [*platform.notes, *preflight.notes(settings, facts)])
    pulumi.export("environment", _secret(outputs.environment(settings, platform, context)))
    pulumi.export("credentials", {service.name: _secret(service.credentials) for service in platform.services if service.credentials})


def _stack_file() -> dict[str, Any]:
    path = Path(__file__).resolve().parent.parent / f"Pulumi.{pulumi.get_stack()}.yaml"
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


def _secret(values: Mapping[str, Secret]) -> dict[str, pulumi.Output[str]]:
    return {name: pulumi.Output.secret(value.reveal()) for name, value in sorted(values.items())}


try:
    main()
except Refused as refused:
    raise pulumi.RunError(str(refused)) from None
