"""The platform that a stack's settings describe."""

from collections.abc import Sequence

from infra.consent import Consent
from infra.secret import Keyring
from infra.services.context import Context
from infra.services.definition import Definition
from infra.services.registry import definitions
from infra.settings import Settings
from infra.spec import LeftOut, Platform, Service


def build(settings: Settings, consent: Consent | None = None) -> Platform:
    """Every service that is enabled and available. Pure: nothing is read or changed."""
    context = Context(settings, Keyring(settings.master_secret), consent or Consent())
    services: list[Service] = []
    left_out: list[LeftOut] = []
    notes: list[str] = []
    for definition in definitions():
        why = why_not(context, definition)
        if why is not None:
            left_out.extend(LeftOut(service=definition.name, reason=reason) for reason in why)
            continue
        services.extend(definition.build(context, services))
        left_out.extend(definition.left_out(context))
        notes.extend(definition.notes(context))
    if settings.bind_address != "127.0.0.1":
        notes.append(
            f"Ports are published on {settings.bind_address}: Docker's published ports bypass the"
            " host's firewall."
        )
    return Platform(services=tuple(services), left_out=tuple(left_out), notes=tuple(notes))


def why_not(context: Context, definition: Definition) -> Sequence[str] | None:
    """None if it is deployed; otherwise the reasons, which are empty for a disabled service."""
    group = getattr(context.settings, definition.group)
    if getattr(group, "external", None):
        return [f"runs elsewhere (groundwork:{definition.group}.external)"]
    if not getattr(group, "enabled", True):
        return []
    if definition.image is not None and not context.available(definition.image):
        return (
            [context.why_unavailable(definition.image)] if definition.settings is not None else []
        )
    return None
