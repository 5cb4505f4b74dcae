"""What is refused because of the host: facts in, problems out."""

from dataclasses import replace
from typing import Any

import pytest

from infra.backend import Recorded
from infra.consent import Consent
from infra.identity import Identity
from infra.refusal import Violation
from infra.targets import checks as shared_checks
from infra.targets.docker import checks as host_checks
from infra.targets.docker import facts as docker_facts
from infra.targets.docker.checks import as_built
from infra.targets.docker.facts import HostFacts
from infra.targets.docker.naming import networks_of
from infra.units import GIB
from tests.support.identity import IDENTITY
from tests.unit.conftest import make_platform, make_settings

ROOMY = HostFacts(
    memory=64 * GIB, cpus=8, root_shared=True, disk_total=1000 * GIB, disk_free=900 * GIB
)
OTHER = Identity(project="groundwork", stack="dev", instance="other1", master="feedfacefeed")
OTHER_MASTER = Identity(project="groundwork", stack="dev", instance="abc123", master="000000000000")
DATA = IDENTITY.name("postgres-data")


def check(facts: HostFacts, **keys: Any) -> list[Violation]:
    keys.setdefault("images", "packages")
    return host_checks.check(make_platform(**keys), IDENTITY, facts)


def ledger(identity: Identity = IDENTITY, /, **versions: str) -> dict[str, str]:
    return {
        **identity.labels,
        "groundwork.role": "ledger",
        **{f"groundwork.version.{name}": version for name, version in versions.items()},
    }


def started(name: str, version: str) -> dict[str, str]:
    """The labels of a service's container."""
    return {**IDENTITY.labels, "groundwork.service": name, "groundwork.version": version}


def redis_ledger(version: str) -> dict[str, str]:
    return {**ledger(), "groundwork.version.redis-cache": version}


def test_a_roomy_host_is_fine() -> None:
    assert check(ROOMY) == []


CASES: list[tuple[str, HostFacts, dict[str, Any], str, str]] = [
    (
        "one limit beyond the host",
        ROOMY,
        {"postgres": {"memory": "100GiB"}},
        "groundwork:postgres.memory",
        "more than the host has",
    ),
    (
        "all limits beyond the host",
        replace(ROOMY, memory=3 * GIB),
        {},
        "groundwork:postgres.memory",
        "the limits add up to",
    ),
    ("more cores than the host", replace(ROOMY, cpus=1), {}, "groundwork:litellm.cpus", "cores"),
    (
        "volumes beyond the disk",
        replace(ROOMY, disk_total=20 * GIB),
        {},
        "groundwork:minio.disk",
        "in total",
    ),
    (
        "new volumes beyond the free disk",
        replace(ROOMY, disk_free=20 * GIB),
        {},
        "groundwork:minio.disk",
        "has 20GiB free",
    ),
    (
        "two services on one port",
        ROOMY,
        {"prometheus": {"port": 5432}},
        "groundwork:prometheus (port 5432, http)",
        "already assigned to postgres",
    ),
    (
        "a port that a process holds",
        replace(ROOMY, taken_ports={9000: "another process on this host"}),
        {},
        "groundwork:minio (port 9000, s3)",
        "in use by another process",
    ),
    (
        "a port beyond the last",
        ROOMY,
        {"minio": {"port": 65000}, "portOffset": 1000},
        "groundwork:minio (port 66000, s3)",
        "above 65535",
    ),
    (
        "a volume of another instance",
        replace(ROOMY, volumes={DATA: OTHER.labels}),
        {},
        f"volume {DATA}",
        "belongs to another",
    ),
    (
        "a volume that nobody labelled",
        replace(ROOMY, volumes={DATA: {}}),
        {},
        f"volume {DATA}",
        "belongs to another",
    ),
    (
        "a volume of another master",
        replace(ROOMY, volumes={DATA: OTHER_MASTER.labels}),
        {},
        "groundwork:masterSecret",
        "another master secret",
    ),
    (
        "a container of a stranger",
        replace(ROOMY, containers={IDENTITY.name("minio"): {}}),
        {},
        f"container {IDENTITY.name('minio')}",
        "belongs to another",
    ),
    (
        "Postgres of another major",
        replace(ROOMY, volumes={DATA: IDENTITY.labels, "l": ledger(postgres="18")}),
        {},
        "groundwork:images",
        "holds a Postgres 18 data directory",
    ),
    (
        "Postgres of an older major",
        replace(ROOMY, volumes={DATA: IDENTITY.labels, "l": ledger(postgres="17.12")}),
        {"images": "registry"},
        "groundwork:images",
        "holds a Postgres 17 data directory",
    ),
    (
        "a store whose volume is gone",
        replace(ROOMY, volumes={"l": ledger(postgres="17.12")}),
        {},
        f"groundwork:postgres (volume {DATA})",
        "postgres 17.12 keeps its data there, but it no longer exists",
    ),
    (
        "a volume that only the state remembers",
        replace(ROOMY, recorded=Recorded(volumes=frozenset({DATA}))),
        {},
        f"groundwork:postgres (volume {DATA})",
        "postgres would start empty",
    ),
    (
        "a downgrade",
        replace(
            ROOMY,
            volumes={IDENTITY.name("minio-data"): IDENTITY.labels, "l": ledger(minio="2026.09.16")},
        ),
        {},
        "groundwork:images",
        "older than 2026.09.16",
    ),
    (
        "a downgrade after several upgrades",
        replace(
            ROOMY,
            volumes={
                IDENTITY.name("redis-cache-data"): IDENTITY.labels,
                "a": redis_ledger("8.10.2"),
                "b": redis_ledger("8.0.1"),
            },
        ),
        {},
        "groundwork:images",
        "older than 8.10.2",
    ),
    (
        "a downgrade of what is healthy, though its deploy left no ledger",
        replace(
            ROOMY,
            volumes={IDENTITY.name("redis-cache-data"): IDENTITY.labels},
            containers={IDENTITY.name("redis-cache"): started("redis-cache", "8.10.2")},
            healthy=frozenset({IDENTITY.name("redis-cache")}),
        ),
        {},
        "groundwork:images",
        "older than 8.10.2",
    ),
    (
        "an image that was not built",
        replace(
            ROOMY,
            missing_images={
                make_platform(images="packages")
                .by_name("redis-cache")
                .image.reference: "it has not been built on this host"
            },
        ),
        {},
        "groundwork:images (redis-cache)",
        "is not available",
    ),
    (
        "a root that is not shared",
        replace(ROOMY, root_shared=False),
        {"exporters": {"containers": {"enabled": False}}},
        "groundwork:exporters.node.enabled",
        "shared mount",
    ),
]


@pytest.mark.parametrize(
    ("facts", "keys", "key", "reason"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_refuses(facts: HostFacts, keys: dict[str, Any], key: str, reason: str) -> None:
    """One message with the key, a reason and a fix."""
    problems = check(facts, **keys)
    assert [problem.key for problem in problems] == [key], problems
    assert reason in problems[0].reason
    assert problems[0].fix


OWN = {IDENTITY.name("postgres"): IDENTITY.labels}


@pytest.mark.parametrize(
    ("facts", "key", "fix"),
    [
        (replace(ROOMY, foreign_address="8.8.8.8"), "groundwork:bindAddress", "127.0.0.1"),
        (replace(ROOMY, network_room=3), "Docker's address pools", "docker network prune"),
        (
            replace(ROOMY, recorded=Recorded(nothing=True), containers=OWN),
            "containers of gw-",
            "make up STACK=",
        ),
    ],
    ids=["an address of another host", "no room for networks", "a lost state"],
)
def test_refuses_what_would_fail_half_way(facts: HostFacts, key: str, fix: str) -> None:
    """Each was met in the middle of a deploy before: by the engine, the third stack on a host, and
    names that are taken.
    """
    (problem,) = check(facts)
    assert problem.key.startswith(key)
    assert fix in problem.fix


@pytest.mark.parametrize(
    "facts",
    [
        replace(ROOMY, network_room=40),
        replace(
            ROOMY,
            network_room=0,
            networks={
                IDENTITY.name(name): IDENTITY.labels
                for name in networks_of(make_platform(images="packages"))
            },
        ),
        replace(ROOMY, recorded=Recorded(nothing=True)),
        replace(
            ROOMY,
            recorded=Recorded(nothing=True),
            containers={OTHER.name("postgres"): OTHER.labels},
        ),
    ],
    ids=[
        "room for networks",
        "networks that are there already",
        "a fresh stack",
        "another instance's containers",
    ],
)
def test_accepts_what_is_no_contradiction(facts: HostFacts) -> None:
    assert check(facts, images="packages") == []


@pytest.mark.parametrize(
    ("info", "subnets", "room"),
    [
        ({}, [], 31),
        ({}, ["172.17.0.0/16"], 30),
        ({}, ["172.17.0.0/16", "192.168.0.0/20", "10.0.0.0/24"], 29),
        ({}, ["192.168.1.0/24", "192.168.2.0/24"], 29),
        ({"DefaultAddressPools": [{"Base": "10.200.0.0/16", "Size": 24}]}, ["10.200.3.0/24"], 255),
    ],
    ids=[
        "the engine's own pools",
        "the default bridge",
        "a pool of each size",
        "small networks",
        "pools of the host's own",
    ],
)
def test_counts_the_networks_that_still_find_a_range(
    info: dict[str, Any], subnets: list[str], room: int
) -> None:
    networks = [{"IPAM": {"Config": [{"Subnet": subnet}]}} for subnet in subnets]
    assert docker_facts._network_room(info, networks) == room


@pytest.mark.parametrize(
    "facts",
    [
        replace(
            ROOMY,
            volumes={
                **{
                    IDENTITY.name(name): IDENTITY.labels for name in ("postgres-data", "minio-data")
                },
                "l": ledger(postgres="17.12", minio="2026.02.12"),
            },
        ),
        replace(ROOMY, volumes={DATA: IDENTITY.labels, "l": ledger(postgres="17.1")}),
        replace(ROOMY, volumes={DATA: IDENTITY.labels, "l": ledger(OTHER, postgres="18")}),
        replace(
            ROOMY,
            volumes={"l": ledger(postgres="17.12")},
            consent=Consent(empty=frozenset({"postgres"})),
        ),
        replace(ROOMY, recorded=Recorded(volumes=frozenset({IDENTITY.name("other-data")}))),
        replace(
            ROOMY,
            volumes={DATA: IDENTITY.labels, "l": ledger(postgres="17.12")},
            containers={IDENTITY.name("postgres"): started("postgres", "18")},
        ),
        replace(ROOMY, taken_ports={5432: "x"}, own_ports=frozenset({5432})),
        replace(ROOMY, disk_total=None, disk_free=None, root_shared=None),
        replace(ROOMY, containers={IDENTITY.name("postgres"): IDENTITY.labels}),
    ],
    ids=[
        "own volumes",
        "older minor",
        "another instance's ledger",
        "a volume that is given up by name",
        "a recorded volume of no service",
        "a newer version that never was healthy",
        "own port",
        "engine elsewhere",
        "own container",
    ],
)
def test_accepts(facts: HostFacts) -> None:
    assert check(facts) == []


@pytest.mark.parametrize(
    ("version", "parts"),
    [
        ("17.12", (17, 12)),
        ("v1.19.1", (1, 19, 1)),
        ("2026.02.12", (2026, 2, 12)),
        ("18-rc1", ()),
        ("", ()),
    ],
)
def test_compares_versions_by_number(version: str, parts: tuple[int, ...]) -> None:
    assert shared_checks.version_tuple(version) == parts


@pytest.mark.parametrize(
    ("api", "warned"),
    [((1, 41), True), ((1, 47), True), ((1, 48), False), ((1, 56), False), ((), False)],
    ids=["20.10", "27", "28", "29", "unknown"],
)
def test_old_engines_are_warned_about(api: tuple[int, ...], warned: bool) -> None:
    facts = replace(ROOMY, api=api)
    assert bool(host_checks.notes(make_settings(), make_platform(), facts)) == warned


def test_an_unsuitable_engine_is_refused() -> None:
    problem = Violation(key="Docker engine", reason="it is too old", fix="install a newer one")
    facts = replace(ROOMY, unsuitable=(problem,))
    assert problem in host_checks.check(make_platform(), IDENTITY, facts)


class TestOneProcessor:
    """A limit that nobody chose gives way where the host has fewer cores."""

    ONE = replace(ROOMY, cpus=1)

    def _cpus(self, **keys: Any) -> float:
        fitted = as_built(make_platform(**keys), self.ONE)
        return fitted.by_name("litellm").limits.cpus

    def test_a_default_gives_way(self) -> None:
        fitted = as_built(make_platform(), self.ONE)
        assert max(service.limits.cpus for service in fitted.services) == 1
        assert host_checks.check(fitted, IDENTITY, self.ONE) == []

    def test_a_chosen_limit_is_refused(self) -> None:
        fitted = as_built(make_platform(litellm={"cpus": 2}), self.ONE)
        (problem,) = host_checks.check(fitted, IDENTITY, self.ONE)
        assert problem.key == "groundwork:litellm.cpus"

    def test_no_default_grows(self) -> None:
        before, after = make_platform(), as_built(make_platform(), replace(ROOMY, cpus=64))
        assert [item.limits for item in before.services] == [item.limits for item in after.services]


def test_two_clones_do_not_share_a_name() -> None:
    assert IDENTITY.name("postgres-data") != OTHER.name("postgres-data")
    assert not IDENTITY.owns(OTHER.labels)


@pytest.mark.parametrize(
    ("held", "refused"), [("8.0.5", False), ("8.0.1", True)], ids=["newer", "older"]
)
def test_what_an_image_really_holds_decides_about_a_downgrade(held: str, refused: bool) -> None:
    """Debian may have replaced the version that is pinned."""
    platform = make_platform(images="packages")
    reference = platform.by_name("redis-cache").image.reference
    facts = replace(
        ROOMY,
        volumes={IDENTITY.name("redis-cache-data"): IDENTITY.labels, "l": redis_ledger("8.0.5")},
        image_versions={reference: held},
    )
    true = as_built(platform, facts)
    assert shared_checks.ledger(true)["redis-cache"] == held
    assert bool(host_checks.check(true, IDENTITY, facts)) == refused
