"""Definitions of services: what is known about each before a stack is read."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from infra.refusal import Violation
from infra.services.context import Context
from infra.settings import Settings
from infra.settings.common import Model, Switchable
from infra.spec import Address, Endpoint, LeftOut, Service, Store, Variable


class Stage(IntEnum):
    """When a service is described: each is given the descriptions of those before it."""

    STORE = 0
    APPLICATION = 1
    EXPORTER = 2
    MONITORING = 3
    COLLECTOR = 4
    """Sees the services that write logs."""
    DASHBOARDS = 5
    """Sees the services that can be shown."""
    SCRAPER = 6
    """Sees the services that have metrics."""


Contract = Iterable[Variable | Address]


def http_login(prefix: str, at: Endpoint, service: str) -> Contract:
    """URL, user and password of a service that speaks HTTP on its port `http`."""
    yield Address(f"{prefix}_URL", at, service, "http", at.template("http"))
    yield Variable(f"{prefix}_USER", at.username or "")
    yield Variable(f"{prefix}_PASSWORD", at.password or "")


def _nothing(*_: object) -> tuple[()]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A service, or services that share one group of settings.

    `build` describes what is deployed. `key` is the group of settings below `groundwork:`,
    `settings` its model; a module whose settings are part of another's has no model. `image` names
    the image that it requires. `external_needs` are the fields that dependents need of an external
    one, None if nothing connects to it. `scales` allows more than one replica, `exposable` an
    ingress for its first port. `addresses` are the (key, address) pairs that it contacts outside
    the stack. `environment` is what an application needs to use it, `migrations` what its
    migrations do, and `administration` what an administrator does. `stores` are what a backup saves
    of what is deployed.
    """

    name: str
    stage: Stage
    build: Callable[[Context, Sequence[Service]], Iterable[Service]]
    key: str = ""
    settings: type[Model] | None = None
    description: str = ""
    image: str | None = None
    names: tuple[str, ...] = ()
    external_needs: tuple[str, ...] | None = None
    scales: bool = False
    exposable: bool = False
    addresses: Callable[[Settings], Iterable[tuple[str, str]]] = _nothing
    validate: Callable[[Settings], Iterable[Violation]] = _nothing
    environment: Callable[[Context], Contract] = _nothing
    migrations: Callable[[Context], Contract] = _nothing
    administration: Callable[[Context], Contract] = _nothing
    stores: Callable[[Context], Iterable[Store]] = _nothing
    left_out: Callable[[Context], Iterable[LeftOut]] = _nothing
    notes: Callable[[Context], Iterable[str]] = _nothing

    @property
    def group(self) -> str:
        """The attribute of the settings."""
        return self.key or self.name

    @property
    def replaceable(self) -> bool:
        """True if an external service can replace it."""
        return self.settings is not None and issubclass(self.settings, Switchable)

    @property
    def service_names(self) -> tuple[str, ...]:
        """Every name that its services may have."""
        return self.names or (self.name,)
