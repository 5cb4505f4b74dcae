"""A service is one module: what a new one gets without another file being touched."""

from collections.abc import Iterator

import pytest
import yaml

from infra import configuration, outputs, validation
from infra.dashboards import present
from infra.refusal import PreflightError
from infra.secret import Keyring
from infra.services.context import Context
from infra.targets.docker import files
from infra.targets.kubernetes.plan import build as build_plan
from ops.development import reference
from tests.support import notepad
from tests.support.docker_mocks import CONTAINER, VOLUME, declare
from tests.support.identity import IDENTITY
from tests.support.releases import CLUSTER
from tests.unit.conftest import MASTER, make_context, make_platform, make_settings, text


@pytest.fixture(autouse=True)
def _added() -> Iterator[None]:
    with notepad.added():
        yield


def test_its_settings_have_defaults_types_and_refusals() -> None:
    assert make_settings(notepad={"longestNote": 7}).of(notepad.Notepad).longest_note == 7
    config = {
        "groundwork:masterSecret": MASTER,
        "groundwork:instance": "abc123",
        "groundwork:notepad": '{"longestNoot": 7}',
    }
    with pytest.raises(PreflightError, match="did you mean `longestNote`"):
        configuration.load(config, ["groundwork:masterSecret"], stack="dev")


def test_its_own_checks_are_asked() -> None:
    problems = validation.check(make_settings(notepad={"longestNote": 13}))
    assert [problem.key for problem in problems] == ["groundwork:notepad.longestNote"]


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"external": {"host": "10.0.0.1", "port": 1}}, "groundwork:notepad.external.password"),
        (
            {"external": {"host": "example.org", "port": 1, "tls": False, "password": "p"}},
            "groundwork:notepad.external.tls",
        ),
        ({"replicas": 2}, "groundwork:notepad.replicas"),
    ],
    ids=["a half login elsewhere", "a password in the clear", "two of it"],
)
def test_what_holds_for_all_services_holds_for_it(keys: dict[str, object], key: str) -> None:
    assert key in [problem.key for problem in validation.check(make_settings(notepad=keys))]


def test_its_name_is_none_for_a_target_of_the_applications() -> None:
    targets = {"targets": [{"name": "notepad", "address": "10.0.0.1:80"}]}
    assert [problem.key for problem in validation.check(make_settings(prometheus=targets))] == [
        "groundwork:prometheus.targets"
    ]


def test_an_ingress_may_show_it() -> None:
    hosts = [{"service": "notepad", "host": "notes.example.org", "tlsSecret": "t"}]
    cluster = {
        "target": "kubernetes",
        "kubernetes": {
            "context": "test",
            "ingress": {"controllerNamespace": "ingress", "hosts": hosts},
        },
    }
    assert validation.check(make_settings(**cluster)) == []


def test_it_is_deployed_on_docker_with_its_volumes_files_and_network() -> None:
    _, recorder = declare("registry")
    container = recorder.of(CONTAINER)[IDENTITY.name("notepad")]
    assert container["readOnly"] is True
    assert [port["external"] for port in container["ports"]] == [7777]
    assert IDENTITY.name("notepad") in {item["name"] for item in container["networksAdvanced"]}
    service = make_platform().by_name("notepad")
    placed = IDENTITY.name(
        files.volume(service, Keyring(make_settings().master_secret).checksum_key)
    )
    assert {IDENTITY.name("notepad-data"), placed} <= set(recorder.of(VOLUME))
    ledger = next(inputs for name, inputs in recorder.of(VOLUME).items() if "ledger" in name)
    assert {"label": "groundwork.version.notepad", "value": "1.2.3"} in ledger["labels"]


def test_it_is_released_on_kubernetes() -> None:
    settings, platform = make_settings(**CLUSTER), make_platform(**CLUSTER)
    plan = build_plan(settings, IDENTITY, platform, {})
    values = next(item for item in plan.releases if item.name == "notepad").values
    assert values["workload"] == "StatefulSet"
    assert [port["port"] for port in values["ports"]] == [7777]


def test_packages_that_do_not_carry_it_leave_it_out_with_the_reason() -> None:
    platform = make_platform(images="packages")
    assert {item.service: item.reason for item in platform.left_out}[
        "notepad"
    ] == "nobody packages it"


def test_an_application_finds_it_in_its_environment() -> None:
    settings, platform, context = make_settings(), make_platform(), make_context()
    found = outputs.environment(settings, platform, context)
    assert found["NOTEPAD_URL"].reveal() == "http://127.0.0.1:7777"
    assert found["NOTEPAD_URL_INTERNAL"].reveal() == "http://notepad:7777"
    assert found["NOTEPAD_PASSWORD"] == context.secret("notepad", "app")


def test_one_that_runs_elsewhere_takes_its_place() -> None:
    keys = {
        "notepad": {"external": {"host": "notes.lan", "port": 80, "tls": False, "password": "p"}}
    }
    settings, platform = make_settings(**keys), make_platform(**keys)
    found = outputs.environment(
        settings, platform, Context(settings, Keyring(settings.master_secret))
    )
    assert found["NOTEPAD_URL"].reveal() == "http://notes.lan:80"
    assert "notepad" not in {service.name for service in platform.services}


def test_it_is_scraped_and_its_log_understood() -> None:
    platform = make_platform()
    jobs = yaml.safe_load(text(platform.by_name("prometheus"), "prometheus.yml"))["scrape_configs"]
    assert "notepad" in [job["job_name"] for job in jobs]
    assert "notepad" in text(platform.by_name("alloy-logs"), "config.alloy")
    assert "notepad" in text(platform.by_name("prometheus"), "expected.yml")
    assert "notepad" in present(make_settings(), platform.services)


def test_it_is_in_the_reference_and_in_the_outputs() -> None:
    assert (
        "| `groundwork:notepad.longestNote` | whole number | `1000` | Characters of a note. |"
        in reference.render()
    )
    told = outputs.build(make_settings(), make_platform(), make_context(), IDENTITY, [])
    assert told["services"]["notepad"]["endpoints"]["http"]["port"] == 7777
    assert "app" in told["credentials"]["notepad"]
