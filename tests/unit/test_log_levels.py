"""How much each service's log tells, in its own words."""

from typing import Any

import pytest

from infra.spec import Service
from tests.unit.conftest import files, make_platform

LEVELS = ("debug", "info", "warn", "error")
# What comes before the level, the default, and the words for all of them.
WORDS = {
    "postgres": ("log_min_messages = ", "warn", ("'debug1'", "'info'", "'warning'", "'error'")),
    "redis-queue": ("loglevel ", "info", ("debug", "notice", "warning", "warning")),
    "qdrant": ("log_level: ", "info", ("DEBUG", "INFO", "WARN", "ERROR")),
    "clickhouse": ("level: ", "info", ("debug", "information", "warning", "error")),
    "loki": ("log_level: ", "warn", LEVELS),
    "tempo": ("log_level: ", "warn", LEVELS),
    "alloy": ("level  = ", "warn", tuple(f'"{level}"' for level in LEVELS)),
    "alloy-logs": ("level  = ", "warn", tuple(f'"{level}"' for level in LEVELS)),
    "prometheus": ("--log.level=", "info", LEVELS),
    "alertmanager": ("--log.level=", "info", LEVELS),
    "grafana": ("GF_LOG_LEVEL=", "info", LEVELS),
}
_KEYS = {"redis-queue": ("redis", "queue"), "alloy-logs": ("alloy",)}


def _at(name: str, level: str | None) -> Service:
    keys: Any = {"logLevel": level} if level else {}
    for part in reversed(_KEYS.get(name, (name,))[1:]):
        keys = {part: keys}
    return make_platform(images="registry", **{_KEYS.get(name, (name,))[0]: keys}).by_name(name)


def _told(service: Service) -> str:
    """All that it is told: files, command and environment."""
    contents = [item.content for item in files(service) if isinstance(item.content, str)]
    revealed = [
        item.content.reveal() for item in files(service) if not isinstance(item.content, str)
    ]
    variables = [f"{key}={value}" for key, value in service.env.items()]
    return "\n".join([*contents, *revealed, *service.command, *variables])


@pytest.mark.parametrize("name", WORDS)
def test_each_service_has_a_level(name: str) -> None:
    before, default, words = WORDS[name]
    said = dict(zip(LEVELS, words, strict=True))
    for level, word in [(None, said[default]), *said.items()]:
        assert f"{before}{word}\n" in _told(_at(name, level)) + "\n", level


@pytest.mark.parametrize(
    ("level", "variable"),
    [(None, None), ("warn", None), ("debug", "DEBUG"), ("info", "INFO"), ("error", "ERROR")],
)
def test_the_gateway_tells_of_warnings_by_itself(level: str | None, variable: str | None) -> None:
    assert _at("litellm", level).env.get("LITELLM_LOG") == variable
