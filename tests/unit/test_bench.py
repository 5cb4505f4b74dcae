"""What other tools are given to be measured by: the same containers, in their own form."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from infra.targets.docker import files
from ops.development.bench import compose, report, terraform
from ops.development.bench.compare import Figures
from ops.development.bench.description import Container, Description, describe
from ops.development.bench.loaded import with_files
from tests.support.docker_mocks import CONTAINER, LOADER, NETWORK, VOLUME, declare
from tests.support.identity import IDENTITY
from tests.unit.conftest import make_platform

# Pulumi's test decorator leaves its event loop open.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
SERVICES = [service.name for service in make_platform(images="packages").services]
_SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}


def _exported(value: Any) -> Any:
    """As `export --show-secrets` has it: a secret is its JSON text, where a mock is given it."""
    match value:
        case {"value": inner, **marks} if marks == _SECRET:
            return {**_SECRET, "plaintext": json.dumps(inner)}
        case dict():
            return {key: _exported(item) for key, item in value.items()}
        case list():
            return [_exported(item) for item in value]
    return value


@cache
def description() -> Description:
    """The default platform, as an exported state would have it."""
    platform, recorder = declare("packages")
    resources = [
        {"type": kind, "urn": f"{kind}::{name}", "inputs": _exported(inputs), "dependencies": []}
        for kind, name, inputs in recorder.resources
        if kind in (CONTAINER, NETWORK, VOLUME)
    ]
    packed = files.archive(platform.services)
    return with_files(describe(resources), lambda _: packed)


@pytest.fixture
def composed(tmp_path: Path) -> dict[str, Any]:
    return compose.document(description(), tmp_path)


@pytest.mark.parametrize("name", SERVICES)
def test_compose_has_each_service_with_its_image_limits_and_check(
    composed: dict[str, Any], name: str
) -> None:
    full = IDENTITY.name(name)
    ours = next(item.arguments for item in description().containers if item.name == full)
    theirs = composed["services"][full]
    assert theirs["image"] == ours["image"]
    assert theirs["mem_limit"] == f"{int(ours['memory'])}m"
    assert theirs["cpu_quota"] == ours["cpuQuota"]
    assert theirs["healthcheck"]["interval"] == ours["healthcheck"]["interval"]
    assert set(theirs["networks"]) == {item["name"] for item in ours["networksAdvanced"]}


def test_compose_gives_a_sidecar_no_network(composed: dict[str, Any]) -> None:
    theirs = composed["services"][IDENTITY.name("loki-retention")]
    assert (theirs["network_mode"], "networks" in theirs) == ("none", False)


def test_compose_starts_no_container_that_only_holds_files(composed: dict[str, Any]) -> None:
    assert LOADER not in composed["services"]


def test_files_lie_where_a_service_looks_for_them(composed: dict[str, Any], tmp_path: Path) -> None:
    """In a folder in place of their volume, with the same mode."""
    mounts = composed["services"][IDENTITY.name("redis-cache")]["volumes"]
    folder = next(item for item in mounts if item["target"] == "/etc/groundwork")
    assert folder["type"] == "bind"
    acl = Path(folder["source"]) / "users.acl"
    assert acl.is_relative_to(tmp_path)
    assert "user app" in acl.read_text()
    assert acl.stat().st_mode & 0o777 == 0o440


@pytest.mark.parametrize("name", SERVICES)
def test_terraform_has_each_service_with_its_arguments(name: str) -> None:
    full = IDENTITY.name(name)
    ours = next(item.arguments for item in description().containers if item.name == full)
    theirs = terraform.document(description())["resource"]["docker_container"][full]
    assert theirs["image"] == ours["image"]
    assert theirs["memory_swap"] == ours["memorySwap"]
    # It would take `${` for an expression of its own.
    read = [str(part).replace("$${", "${") for part in theirs["healthcheck"]["test"]]
    assert read == ours["healthcheck"]["tests"]
    assert theirs["log_opts"] == ours["logOpts"]
    assert {f"docker_network.{item['name']}" for item in ours["networksAdvanced"]} <= set(
        theirs["depends_on"]
    )


def test_terraform_reads_no_expression_in_a_text() -> None:
    container = Container({"name": "a", "uploads": [{"content": "${HOME} %{x}"}]}, ())
    found = terraform.document(Description((container,), (), ()))
    (upload,) = found["resource"]["docker_container"]["a"]["upload"]
    assert upload["content"] == "$${HOME} %%{x}"


def test_another_name_and_other_ports_collide_with_nothing() -> None:
    moved = description().renamed(IDENTITY.name(""), "peer-", shift=100)
    assert IDENTITY.name("") not in json.dumps([dict(item.arguments) for item in moved.containers])

    def ports(of: Description) -> set[int]:
        return {
            int(port["external"])
            for item in of.containers
            for port in item.arguments.get("ports") or ()
        }

    assert ports(moved) == {port + 100 for port in ports(description())}


def test_a_secret_of_the_state_is_revealed_and_what_must_be_ready_before_is_named() -> None:
    secret = {**_SECRET, "plaintext": json.dumps({"key": "value", "__defaults": []})}
    first = {"type": CONTAINER, "urn": "a", "inputs": {"name": "first", "envs": [secret]}}
    second = {
        "type": CONTAINER,
        "urn": "b",
        "inputs": {"name": "second", "__defaults": []},
        "dependencies": ["a", "elsewhere"],
    }
    one, two = describe([first, second]).containers
    assert one.arguments["envs"] == [{"key": "value"}]
    assert two.after == ("first",)
    assert dict(two.arguments) == {"name": "second"}


def test_figures_are_shown_with_their_range_and_as_a_ratio_to_ours() -> None:
    figures = Figures({"up": {"Groundwork": [4.0, 6.0, 5.0], "Compose 2": [2.5]}})
    tools = report.columns(figures)
    assert tools == ["Groundwork", "Compose 2"]
    assert list(report.rows(figures, tools)) == [["up", "5.0 (4.0-6.0)", "2.5 x2.00"]]


def test_an_operation_that_a_tool_lacks_is_a_dash() -> None:
    figures = Figures({"a": {"Groundwork": [1.0]}, "b": {"Compose 2": [2.0]}})
    assert list(report.rows(figures, report.columns(figures))) == [
        ["a", "1.0", "-"],
        ["b", "-", "2.0"],
    ]
