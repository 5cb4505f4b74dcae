"""A small made-up service, as somebody would add it: one module with all that is
particular to it.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from pydantic import Field

from infra import versions
from infra.refusal import Violation
from infra.services.context import Context, external_endpoint, limits
from infra.services.definition import Contract, Definition, Stage
from infra.services.registry import with_service
from infra.settings import Settings
from infra.settings.common import Disk, HostPort, Memory, ServiceSettings
from infra.spec import (
    CONFIG_DIR,
    Address,
    Endpoint,
    File,
    HealthCheck,
    Logs,
    Metrics,
    Port,
    Service,
    Variable,
    Volume,
)
from infra.units import MIB

NAME = "notepad"


class Notepad(ServiceSettings):
    """Keeps notes."""

    memory: Memory = Field(64 * MIB, ge=32 * MIB, description="Memory limit.")
    disk: Disk = Field(256 * MIB, description="Room its notes may take.")
    port: HostPort = Field(7777, description="Port on the host.")
    longest_note: int = Field(1000, ge=1, description="Characters of a note.")


def endpoint(context: Context) -> Endpoint:
    """The endpoint for applications."""
    settings = context.settings.of(Notepad)
    if settings.external:
        return external_endpoint(settings.external)
    return Endpoint(
        host=NAME, port=7777, network=NAME, username="app", password=context.secret(NAME, "app")
    )


def build(context: Context, _: Sequence[Service]) -> Iterator[Service]:
    """The service."""
    settings = context.settings.of(Notepad)
    password = context.secret(NAME, "app")
    yield Service(
        name=NAME,
        kind=NAME,
        image=context.image(NAME),
        limits=limits(settings),
        user="1000:0",
        command=("--config", f"{CONFIG_DIR}/notepad.json"),
        files=(
            File(
                path=f"{CONFIG_DIR}/notepad.json",
                content=f'{{"longest": {settings.longest_note}}}',
                live=True,
            ),
            File(path=f"{CONFIG_DIR}/password", content=password),
        ),
        reload=("sh", "-c", "kill -HUP 1"),
        volumes=(Volume(name="notepad-data", path="/notes", size=settings.disk),),
        ports=(
            Port(name="http", container=7777, host=context.host_port(settings.port), scheme="http"),
        ),
        readiness=HealthCheck(command=("notepad", "ready")),
        metrics=(Metrics(port=7777, username="app", password=password),),
        logs=Logs(format="json"),
        credentials={"app": password},
    )


def _validate(stack: Settings) -> Iterator[Violation]:
    if stack.of(Notepad).longest_note == 13:
        yield Violation(
            key="groundwork:notepad.longestNote", reason="it brings bad luck", fix="write 12 or 14"
        )


def _environment(context: Context) -> Contract:
    at = endpoint(context)
    yield Address("NOTEPAD_URL", at, NAME, "http", at.template("http"))
    yield Variable("NOTEPAD_PASSWORD", at.password or "")


DEFINITION = Definition(
    name=NAME,
    stage=Stage.STORE,
    settings=Notepad,
    description="Keeps notes.",
    image=NAME,
    build=build,
    external_needs=("password",),
    exposable=True,
    validate=_validate,
    environment=_environment,
)

_OFFICIAL = versions.Official(
    repository="registry.example/notes/notepad", tag="1.2.3", version="1.2.3", digest="0" * 64
)


@contextmanager
def added() -> Iterator[None]:
    """As if the module above stood beside the others, with its line among the versions."""
    with ExitStack() as stack:
        stack.enter_context(patch.dict(versions.OFFICIAL, {NAME: _OFFICIAL}))
        stack.enter_context(patch.dict(versions.NO_PACKAGE, {NAME: "nobody packages it"}))
        stack.enter_context(with_service(DEFINITION))
        yield
