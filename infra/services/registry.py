"""All services: the modules in this folder that have a DEFINITION."""

import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

from pydantic import Field, create_model

from infra import services
from infra.services.definition import Definition
from infra.settings import Settings

_added: list[Definition] = []


@cache
def definitions() -> tuple[Definition, ...]:
    """All definitions, each after those whose services its `build` is given."""
    modules = (
        import_module(f"{services.__name__}.{info.name}")
        for info in pkgutil.iter_modules(services.__path__)
    )
    found = [module.DEFINITION for module in modules if hasattr(module, "DEFINITION")]
    return tuple(sorted((*found, *_added), key=lambda item: (item.stage, item.name)))


@cache
def settings_model() -> type[Settings]:
    """The model of a whole stack file: the general settings, and the group of each service that has
    one.
    """
    groups = {
        item.group: (
            item.settings,
            Field(default_factory=item.settings, description=item.description),
        )
        for item in definitions()
        if item.settings is not None
    }
    fields: Any = groups
    made: type[Settings] = create_model("Settings", __base__=Settings, **fields)
    return made


@contextmanager
def with_service(definition: Definition) -> Iterator[None]:
    """Adds a service, as if its module were here, while the context is open."""
    _added.append(definition)
    _forget()
    try:
        yield
    finally:
        _added.remove(definition)
        _forget()


def _forget() -> None:
    definitions.cache_clear()
    settings_model.cache_clear()
