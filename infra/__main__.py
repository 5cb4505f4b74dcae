"""The Pulumi program: settings, services, checks, target, outputs."""

import gc
from pathlib import Path
from typing import Any

import pulumi
import yaml

from infra import backend, configuration, consent, outputs, policies, validation
from infra.consent import Consent
from infra.description import describe
from infra.identity import Identity
from infra.refusal import PreflightError
from infra.secret import Keyring, Secret
from infra.services.context import Context
from infra.services.platform import build as build_platform
from infra.settings import Settings
from infra.spec import Platform


def main() -> None:
    """Declares one stack, or raises RunError with every reason not to deploy."""
    config = pulumi.runtime.get_config_env()
    settings = configuration.load(
        config, pulumi.runtime.get_config_secret_keys_env(), stack=pulumi.get_stack()
    )
    problems = [*validation.check(settings), *configuration.plain_text_in(_stack_file())]
    if problems:
        raise PreflightError(problems)
    allowed = consent.given()
    context = Context(settings, Keyring(settings.master_secret), allowed)
    platform = build_platform(settings, allowed)
    problems = policies.violations(settings, platform)
    if problems:
        raise PreflightError(problems)
    identity = Identity(
        project=pulumi.get_project(),
        stack=pulumi.get_stack(),
        instance=settings.instance,
        master=context.keyring.fingerprint,
    )

    deploy = _kubernetes if settings.clustered else _docker
    platform, notes = deploy(settings, identity, platform, allowed)
    notes += policies.notes(settings, platform)
    for name, value in outputs.build(settings, platform, context, identity, notes).items():
        pulumi.export(name, _reveal(value))
    # What a later change is compared with, by whoever may read the state.
    file = _stack_file()
    if file:
        pulumi.export("description", describe(file, pulumi.get_stack(), allowed))


def _docker(
    settings: Settings, identity: Identity, platform: Platform, allowed: Consent
) -> tuple[Platform, list[str]]:
    """Declares the platform on a Docker host; returns it as deployed, with notes on the host."""
    # Imported here: the engine starts a provider's plugin for every SDK package that is imported.
    from infra.targets.docker import checks, files
    from infra.targets.docker.facts import read_facts
    from infra.targets.docker.resources import DockerTarget

    facts = read_facts(
        platform,
        identity,
        settings.bind_address,
        recorded=backend.recorded(identity),
        consent=allowed,
    )
    platform = checks.as_built(platform, facts)
    problems = checks.check(platform, identity, facts)
    if problems:
        raise PreflightError(problems)
    DockerTarget(
        settings,
        identity,
        facts,
        files.fill_hook(platform, identity, Keyring(settings.master_secret).checksum_key),
    ).deploy(platform)
    return platform, checks.notes(settings, platform, facts)


def _kubernetes(
    settings: Settings, identity: Identity, platform: Platform, allowed: Consent
) -> tuple[Platform, list[str]]:
    """Declares the platform in a cluster; returns it, with notes on the cluster."""
    from infra.targets.kubernetes import checks
    from infra.targets.kubernetes.facts import kubeconfig, read_facts
    from infra.targets.kubernetes.plan import build
    from infra.targets.kubernetes.resources import KubernetesTarget

    facts = read_facts(settings, allowed)
    problems = checks.check(settings, platform, identity, facts)
    if problems:
        raise PreflightError(problems)
    opened = checks.opened(settings, identity, facts)
    plan = build(settings, identity, platform, opened, checks.annotated(settings, facts))
    KubernetesTarget(settings, kubeconfig(settings)).deploy(plan)
    return platform, checks.notes(settings, platform, facts)


def _stack_file() -> dict[str, Any]:
    path = Path(__file__).resolve().parent.parent / f"Pulumi.{pulumi.get_stack()}.yaml"
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


def _reveal(value: Any) -> Any:
    """The value with our secrets replaced by Pulumi's."""
    match value:
        case Secret():
            return pulumi.Output.secret(value.reveal())
        case dict():
            return {key: _reveal(item) for key, item in value.items()}
        case _:
            return value


# It lives for seconds and keeps nearly all it makes: looking for garbage takes a tenth of them.
gc.disable()
try:
    main()
except PreflightError as refused:
    raise pulumi.RunError(str(refused)) from None
