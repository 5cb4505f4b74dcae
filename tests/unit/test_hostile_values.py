"""Hostile values at every key of the reference: refused by key with a reason and a fix, or
rendered harmlessly.

The keys are those of the models, so a new one is tried without being listed here.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from infra import configuration, outputs, validation
from infra.refusal import PreflightError, Violation
from infra.secret import Keyring, Secret, revealed
from infra.services.context import Context
from infra.services.platform import build as build_platform
from infra.services.registry import settings_model
from infra.settings import Settings
from infra.settings.fields import is_secret, nested_model
from infra.targets.checks import port_clashes
from infra.targets.kubernetes.plan import build as build_plan
from ops.commands import dotenv
from tests.support.identity import IDENTITY
from tests.unit.conftest import MASTER, files

# What a neighbour of the key under test needs to be there at all.
SIBLINGS = {
    "host": "10.1.2.3",
    "port": 7777,
    "name": "abc",
    "address": "shop:3000",
    "service": "litellm",
    "key": "pool",
    "to": "a@b.org",
    "sender": "c@b.org",
    "endpoint": "https://a.org",
    "webhookUrl": "https://a.org/x",
    "url": "https://a.org/y",
    "operator": "Exists",
    "tlsSecret": "tls",
    "username": "user",
    "password": "Zx81Zx82Zx83Zx84Zx85",
    "database": "db",
    "provider": "ollama",
    "model": "m",
    "providers": [{"provider": "ollama", "model": "m"}],
}
_IN_MAIL = {"host": "mail.b.org:587"}
_IN_INGRESS = {"host": "a.example.org"}

TEXTS = [
    "",
    " ",
    "\n",
    "a\nDATABASE_URL=evil",
    "a\r\nb: c",
    "a\0b",
    "a: b",
    "a #b",
    "- a",
    "{a: b}",
    "[a]",
    "*a",
    "&a",
    "!!python/object:os.system",
    "'",
    '"',
    '\\"',
    "a'b",
    'a"b',
    "a`b",
    "a\\",
    "'; DROP TABLE x; --",
    '"; DROP ROLE app; --',
    "$$; --",
    "`id`",
    "$(id)",
    "${HOME}",
    "$HOME",
    "; rm -rf /",
    "| cat",
    "{{7*7}}",
    "{% raw %}",
    "{{ .Values }}",
    "%s%n",
    "../../etc/passwd",
    "/etc/passwd",
    "--force",
    "-",
    "a b",
    "null",
    "true",
    "no",
    "~",
    "0x10",
    "1e3",
    "NaN",
    "Infinity",
    "-1",
    "0",
    "1_000",
    "\uff11\uff12",
    "😀",
    "\u202e",
    "\u2028",
    "\ufeff",
    "\ud800",
    "é",
    "localhost",
    "127.0.0.1",
    "LOCALHOST",
    "0.0.0.0",
    "::1",
    "[::1]:80",
    "169.254.169.254",
    "http://",
    "http://a@b",
    "http://localhost",
    "user:pass@host",
    "a..b",
    ".",
    "os.environ/LITELLM_SALT_KEY",
    "a" * 300,
    "9" * 400 + "GiB",
    "1KiB",
    "512MiB\n",
    "0d",
    "99999999d",
]
OTHERS: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**63,
    10**30,
    1e-7,
    1e22,
    0.5,
    math.nan,
    math.inf,
    -math.inf,
    [],
    {},
    [[]],
    ["a"],
    {"a": "b"},
    [{"a": 1}],
]
HOSTILE = st.one_of(
    st.sampled_from(TEXTS),
    st.sampled_from(OTHERS),
    st.text(alphabet=st.characters(codec=None), max_size=40),
    st.floats(),
    st.integers(),
)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_LIBRARY_WORDS = re.compile(
    r"Input should|\^|\(\?|\\d|\[a-z|pydantic|Value error|string_|Traceback|Error\("
)


def _leaves(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        key, inner = (*path, field.alias or name), nested_model(field.annotation)
        many = "tuple" in str(field.annotation) or "dict" in str(field.annotation)
        if inner is not None:
            yield key
            yield from _leaves(inner, (*key, "[]") if many else key)
        else:
            yield key


KEYS = [path for path in _leaves(settings_model()) if path[-1] != "masterSecret"]


def _config(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The stack's configuration with a value at a key, and beside it what that needs."""
    root: dict[str, Any] = {"instance": "abc123", "masterSecret": MASTER}
    if path[0] == "kubernetes":
        root |= {"target": "kubernetes", "kubernetes": {"context": "test"}}
    if path[:2] == ("litellm", "models"):
        root["litellm"] = {"providers": {"ollama": {"url": "http://models.example.org"}}}
    node: dict[str, Any] = root
    model: type[BaseModel] = settings_model()
    parts = [part for part in path if part != "[]"]
    for index, part in enumerate(parts):
        if index == len(parts) - 1:
            node[part] = value
            break
        field = next(item for item in model.model_fields.values() if item.alias == part)
        inner = nested_model(field.annotation)
        assert inner is not None
        wanted = {
            **SIBLINGS,
            **(_IN_MAIL if part == "email" else _IN_INGRESS if part == "hosts" else {}),
        }
        child: dict[str, Any] = {
            item.alias or "": wanted[item.alias or ""]
            for item in inner.model_fields.values()
            if item.alias in wanted
            and (
                item.default is PydanticUndefined
                or part == "external"
                or item.alias in ("operator", "tlsSecret")
            )
        }
        if "[]" in path[path.index(part) + 1 : path.index(part) + 2]:
            node[part] = [child]
            node = child
        else:
            node[part] = {**(node[part] if isinstance(node.get(part), dict) else {}), **child}
            node = node[part]
        model = inner
    return root


def _load(path: tuple[str, ...], value: Any) -> tuple[Settings | None, list[Violation]]:
    raw = {
        f"groundwork:{key}": item if isinstance(item, str) else json.dumps(item)
        for key, item in _config(path, value).items()
    }
    try:
        loaded = configuration.load(
            raw, [f"groundwork:{key}" for key in _config(path, value)], stack="dev"
        )
    except PreflightError as refused:
        return None, list(refused.problems)
    problems = validation.check(loaded) or list(port_clashes(build_platform(loaded)))
    return (None if problems else loaded), problems


def _strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for key, item in value.items():
                yield from (*_strings(key), *_strings(item))
        case list() | tuple():
            for item in value:
                yield from _strings(item)


@cache
def _usual(clustered: bool) -> dict[tuple[str, str], str]:
    """The files of a stack without any setting of its own, which other tests parse."""
    loaded, _ = _load(("kubernetes", "networkPolicies") if clustered else ("protect",), True)
    assert loaded is not None
    found = {
        (service.name, file.path): file.content
        for service in build_platform(loaded).services
        for file in files(service)
    }
    return {
        place: content.reveal() if isinstance(content, Secret) else content
        for place, content in found.items()
    }


def _is_read_as_given(path: str, text: str, value: Any, usual: str) -> bool:
    """True if a file can be read by its own parser, and holds the value as it was given. A word of
    the `usual` file, such as one in a comment, is not the value.
    """
    held = isinstance(value, str) and len(value) > 5 and text.count(value) > usual.count(value)
    if path.endswith((".yml", ".yaml", ".json")):
        parsed = json.loads(text) if path.endswith(".json") else yaml.safe_load(text)
        return isinstance(parsed, dict) and (
            not held or any(value in item for item in _strings(parsed))
        )
    # A file that is the secret itself, words that need no quotes, or a quoted string of the
    # collector's or of JSON.
    return (
        not held
        or text == value
        or value.isalnum()
        or bool(re.fullmatch(r"[A-Za-z0-9_.:/@+=~%-]*", value))
        or any(value in json.loads(item, strict=False) for item in _QUOTED.findall(text))
    )


def _renders(loaded: Settings, value: Any) -> None:
    """Every file can be read by its own parser, and holds the value as it was given."""
    platform = build_platform(loaded)
    usual = _usual(loaded.clustered)
    context = Context(loaded, Keyring(loaded.master_secret))
    rendered = {
        (service.name, file.path): (
            file.content.reveal() if isinstance(file.content, Secret) else file.content
        )
        for service in platform.services
        for file in files(service)
    }
    assert {
        place
        for place, text in rendered.items()
        if usual.get(place) != text
        and not _is_read_as_given(place[1], text, value, usual.get(place, ""))
    } == set(), value
    told = revealed(
        {
            **outputs.environment(loaded, platform, context),
            **outputs.administration(loaded, platform, context),
        }
    )
    read = dict(line.split("=", 1) for line in dotenv.render(told).splitlines())
    assert set(read) == set(told)
    if loaded.clustered:
        plan = build_plan(loaded, IDENTITY, platform, {})
        assert yaml.safe_load(yaml.safe_dump([dict(release.values) for release in plan.releases]))


@pytest.mark.parametrize("path", KEYS, ids=".".join)
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(value=HOSTILE)
def test_a_hostile_value_is_refused_by_key_or_rendered_as_given(
    path: tuple[str, ...], value: Any
) -> None:
    """No stack trace, no words of a library, no expression; and what is accepted changes nothing
    but its own place.
    """
    loaded, problems = _load(path, value)
    assert [problem for problem in problems if not (problem.reason and problem.fix)] == []
    assert [
        problem
        for problem in problems
        if not (problem.key.isprintable() and problem.reason.isprintable())
    ] == []
    assert [problem for problem in problems if _LIBRARY_WORDS.search(problem.reason)] == []
    if loaded is None:
        assert (
            any(
                problem.key.partition(":")[2].split(".")[0].split(" ")[0] == path[0]
                for problem in problems
            )
            or path[0] in _ELSEWHERE
        ), problems
    else:
        _renders(loaded, value)


# Keys whose contradictions are told by the key of what they contradict.
_ELSEWHERE = {"portOffset", "target", "images", "litellm", "grafana", "observability"}


def _field(path: tuple[str, ...]) -> Any:
    model: type[BaseModel] | None = settings_model()
    annotation: Any = None
    for part in path:
        if part == "[]" or model is None:
            continue
        annotation = next(
            item.annotation for item in model.model_fields.values() if item.alias == part
        )
        model = nested_model(annotation)
    return annotation


SECRET_KEYS = [path for path in KEYS if is_secret(_field(path))]
# Shorter ones may be words of a refusal.
REPEATABLE = [text for text in TEXTS if len(text) > 8]


@pytest.mark.parametrize("text", REPEATABLE, ids=ascii)
@pytest.mark.parametrize("path", SECRET_KEYS, ids=".".join)
def test_a_secret_is_never_repeated_in_a_refusal(path: tuple[str, ...], text: str) -> None:
    assert text not in "\n".join(map(str, _load(path, text)[1]))


@pytest.mark.parametrize(
    "value",
    ["[" * 100_000, '{"a":' * 50_000, "9" * 10_000, "NaN", "\ud800", '"' * 1000],
    ids=["lists", "maps", "digits", "nan", "surrogate", "quotes"],
)
def test_what_no_parser_survives_is_refused_all_the_same(value: str) -> None:
    raw = {
        "groundwork:instance": "abc123",
        "groundwork:masterSecret": MASTER,
        "groundwork:postgres": value,
    }
    with pytest.raises(PreflightError) as refused:
        configuration.load(raw, ["groundwork:masterSecret"], stack="dev")
    assert [problem.key for problem in refused.value.problems] == ["groundwork:postgres"]
