"""Settings and platforms for pure tests: no Docker, no Pulumi engine, no files but the
tree's own.
"""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from infra.secret import Keyring, Secret
from infra.services.context import Context
from infra.services.platform import build as build_platform
from infra.services.registry import settings_model
from infra.settings import Settings
from infra.spec import File, Platform, Service

# Made for the tests only; no stack uses it.
MASTER = "Zq7mT2xVb9LcR4nKw8JhP3sDfG6yUe5A"
MIRROR = "mirror.test:5000/groundwork"
IMAGE_SOURCES = ("registry", "packages", MIRROR)


def make_settings(**keys: Any) -> Settings:
    """Settings as a stack file would give them: keys in camelCase."""
    raw = {"masterSecret": MASTER, "instance": "abc123", **copy.deepcopy(keys)}
    settings = settings_model().model_validate(raw, by_alias=True, by_name=False)
    names = {"environment": settings.environment or "dev"}
    return settings.model_copy(
        update={
            **names,
            "kubernetes": settings.kubernetes.model_copy(
                update={"namespace": settings.namespace or "groundwork-dev"}
            ),
        }
    )


def make_context(**keys: Any) -> Context:
    settings = make_settings(**keys)
    return Context(settings, Keyring(Secret(MASTER)))


def make_platform(**keys: Any) -> Platform:
    return build_platform(make_settings(**keys))


def files(service: Service) -> list[File]:
    """A service's files and its jobs'."""
    return [*service.files, *(item for job in service.jobs for item in job.files)]


def text(service: Service, name: str) -> str:
    """The content of one of them, with its secrets."""
    content = next(item.content for item in files(service) if item.path.endswith(f"/{name}"))
    return content.reveal() if isinstance(content, Secret) else content


@pytest.fixture(autouse=True, scope="session")
def private_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test sees the passphrases and keys of this tree's own stacks, or forgets them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GROUNDWORK_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(params=IMAGE_SOURCES)
def source(request: pytest.FixtureRequest) -> str:
    """Each image source in turn."""
    return str(request.param)


@pytest.fixture
def platform(source: str) -> Platform:
    """The default platform with every image source."""
    return make_platform(images=source)
