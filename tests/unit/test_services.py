"""What holds for every service, whatever the image source, and what is particular to one."""

import base64
import datetime
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import PurePath
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.secret import Secret
from infra.services import clickhouse, litellm, model_chain, scram
from infra.services.definition import Stage
from infra.services.registry import definitions
from infra.settings.gateway import Litellm
from infra.spec import APP_NETWORK, Platform, Service
from infra.targets.docker.files import volume
from infra.units import GIB, MIB
from infra.versions import NO_PACKAGE
from ops.paths import ROOT
from tests.unit.conftest import (
    IMAGE_SOURCES,
    MASTER,
    files,
    make_context,
    make_platform,
    make_settings,
    text,
)

# Beside stores: what watches, and has to remember.
REMEMBERS = {"backup", "prometheus", "grafana", "alertmanager", "loki", "tempo", "alloy-logs"}
STORES = {
    name for item in definitions() if item.stage == Stage.STORE for name in item.service_names
}
WATCHERS = (
    "prometheus",
    "grafana",
    "alertmanager",
    "loki",
    "tempo",
    "alloy",
    "alloy-logs",
    "cadvisor",
    "socket-proxy",
)
SERVICES = [
    (source, service.name)
    for source in IMAGE_SOURCES
    for service in make_platform(images=source).services
]


@cache
def get(source: str, name: str) -> Service:
    return make_platform(images=source).by_name(name)


def test_registry_deploys_everything_and_packages_what_they_carry() -> None:
    platform = make_platform(pooler={"enabled": True})
    everything = {service.name for service in platform.services}
    assert not [item.name for item in definitions() if everything.isdisjoint(item.service_names)]
    assert everything <= {name for item in definitions() for name in item.service_names}
    packages = make_platform(images="packages", pooler={"enabled": True})
    assert (
        everything - {service.name for service in packages.services} == set(NO_PACKAGE) & everything
    )
    assert set(NO_PACKAGE) & everything <= {item.service for item in packages.left_out}
    assert [item.service for item in packages.left_out if not item.reason] == []


@pytest.mark.parametrize(("source", "name"), SERVICES, ids=str)
class TestEveryService:
    """Invariants over all services and image sources."""

    def test_has_a_pinned_image(self, source: str, name: str) -> None:
        image = get(source, name).image
        assert image.built == (source == "packages" or name == "backup")
        pattern = (
            r"groundwork/[a-z-]+:[0-9.]+-[0-9a-f]{12}"
            if image.built
            else r"[^@]+:[^@]+@sha256:[0-9a-f]{64}"
        )
        assert re.fullmatch(pattern, image.reference)

    def test_keeps_data_on_a_volume_exactly_if_it_is_a_store(self, source: str, name: str) -> None:
        assert bool(get(source, name).volumes) == (name in STORES | REMEMBERS)

    def test_has_limits_and_a_graceful_stop(self, source: str, name: str) -> None:
        service = get(source, name)
        assert service.limits.memory >= 16 * MIB
        assert 0 < service.limits.cpus <= 2
        assert service.stop_grace >= 10

    def test_has_a_readiness_check_if_its_image_has_a_binary_for_one(
        self, source: str, name: str
    ) -> None:
        service = get(source, name)
        shell_less = name.endswith("redis-cache-exporter") or name.endswith("redis-queue-exporter")
        assert (service.readiness is None) == (shell_less and source != "packages")

    def test_runs_without_root_where_the_image_allows_it(self, source: str, name: str) -> None:
        user = get(source, name).user
        assert re.fullmatch(r"\d+:\d+", user)
        # The engine's socket, and the files it logs to, are root's.
        assert user.startswith("0:") == (
            name in ("alloy-logs", "cadvisor", "socket-proxy")
            or (name == "minio" and source != "packages")
        )

    def test_shows_no_secret_in_its_environment_or_command(self, source: str, name: str) -> None:
        service = get(source, name)
        shown = json.dumps(
            [
                dict(service.env),
                service.command,
                service.entrypoint,
                [dict(job.env) for job in service.jobs],
            ],
            default=str,
        )
        assert _shown(source, shown) == set()

    def test_shows_no_secret_in_files_that_are_not_secret(self, source: str, name: str) -> None:
        plain = [item.content for item in files(get(source, name)) if isinstance(item.content, str)]
        plain += [job.script for job in get(source, name).jobs]
        assert _shown(source, *plain) == set()

    def test_secret_files_are_readable_by_its_group_only(self, source: str, name: str) -> None:
        """Files are root's; the service reads them by group 0, which it runs with."""
        service = get(source, name)
        secrets = [item for item in service.files if isinstance(item.content, Secret)]
        assert [item.path for item in secrets if item.mode != "0440"] == []
        assert not secrets or service.user.endswith(":0")
        assert [job.name for job in service.jobs if not job.user.endswith(":0")] == []

    def test_says_how_it_is_scraped_or_who_does_it(self, source: str, name: str) -> None:
        exporter = {
            "socket-proxy": "cadvisor",
            "postgres": "postgres-exporter",
            "redis-cache": "redis-cache-exporter",
            "redis-queue": "redis-queue-exporter",
        }
        jobs = yaml.safe_load(text(get(source, "prometheus"), "prometheus.yml"))["scrape_configs"]
        assert exporter.get(name, name) in [job["job_name"] for job in jobs]

    def test_its_numbers_are_its_settings(self, source: str, name: str) -> None:
        """Every service is found in the settings, so a problem can name its key."""
        node: Any = make_settings(images=source)
        for part in get(source, name).settings or (name,):
            node = getattr(node, part)
        assert node.memory == get(source, name).limits.memory


@cache
def _derived(source: str) -> dict[str, str]:
    """Whose and which it is, to the secret."""
    return {
        f"{service.name}: {name}": secret.reveal()
        for service in make_platform(images=source).services
        for name, secret in service.credentials.items()
    } | {"the master": MASTER}


def _shown(source: str, *texts: str) -> set[str]:
    """The secrets of the platform that stand in one of the texts."""
    return {
        name for name, secret in _derived(source).items() if any(secret in text for text in texts)
    }


def test_description_is_the_same_twice(source: str) -> None:
    """Nothing random: a difference would be a change at every `up`."""
    assert make_platform(images=source) == make_platform(images=source)


def test_platform_prints_no_secret(source: str, platform: Platform) -> None:
    assert _shown(source, repr(platform)) == set()


def test_dev_fits_a_machine_with_8_gib_of_memory_and_50_gb_of_disk(source: str) -> None:
    dev = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())["config"]
    keys = {key.removeprefix("groundwork:"): value for key, value in dev.items()}
    # What `make up` adds to this file; the secret is encrypted.
    generated = {"masterSecret": MASTER, "instance": "abc123", "images": source}
    platform = make_platform(**{**keys, **generated})
    assert sum(service.limits.memory for service in platform.services) <= 7 * GIB
    assert (
        sum(volume.size for service in platform.services for volume in service.volumes)
        <= 50 * 10**9
    )


def test_what_watches_takes_a_gib_and_a_half_at_most(platform: Platform) -> None:
    watchers = [
        service
        for service in platform.services
        if service.name in WATCHERS or service.name.endswith("-exporter")
    ]
    assert sum(service.limits.memory for service in watchers) <= 1536 * MIB


def test_host_ports_are_distinct_and_shifted_together(source: str) -> None:
    def ports(**keys: Any) -> list[int]:
        return [
            port.host
            for service in make_platform(images=source, **keys).services
            for port in service.ports
            if port.host
        ]

    assert len(set(ports())) == len(ports())
    assert ports(portOffset=10000) == [port + 10000 for port in ports()]


def test_ports_of_the_mission() -> None:
    platform = make_platform()
    assert platform.by_name("prometheus").ports[0].host == 9090
    assert platform.by_name("grafana").ports[0].host == 3001


def test_only_declared_dependencies_share_a_network(platform: Platform) -> None:
    """A store is reached by its exporter, by Prometheus where it is scraped directly, and by
    LiteLLM where it keeps something; the backup reaches all of them.
    """
    names = {service.name for service in platform.services}
    members: dict[str, set[str]] = {}
    for service in platform.services:
        for network in service.networks:
            members.setdefault(network, set()).add(service.name)
    litellm_store = {"litellm"} if platform.by_name("litellm").image.recipe is None else set()
    grafana = {"grafana"} & names
    assert members["postgres"] == (
        {"backup", "postgres", "postgres-exporter"} | litellm_store | grafana
    )
    assert members["redis-cache"] == {"backup", "redis-cache", "redis-cache-exporter", "litellm"}
    # Its ledger of what is spent lies in the instance that never evicts.
    assert members["redis-queue"] == {"backup", "redis-queue", "redis-queue-exporter", "litellm"}
    assert members["minio"] == {"backup", "minio", "prometheus"}
    assert members["alloy"] == {"alloy", "prometheus", "litellm"}
    assert members["litellm"] == {"litellm", "prometheus"}
    assert members[APP_NETWORK] == {"prometheus"}
    assert members["observability"] == {
        name for name in names if name.endswith("-exporter") or name in {"backup", *WATCHERS}
    } - {"socket-proxy"}
    assert members["socket-proxy"] == {"socket-proxy", "cadvisor"}


@pytest.mark.parametrize(
    "name", ["postgres", "redis", "minio", "qdrant", "clickhouse", "litellm", "prometheus"]
)
def test_can_be_turned_off(name: str) -> None:
    platform = make_platform(
        **{
            name: {"enabled": False},
            "grafana": {"enabled": False},
            **({"litellm": {"enabled": False}} if name != "litellm" else {}),
        }
    )
    assert [
        service.name
        for service in platform.services
        if service.name == name or service.name.startswith(f"{name}-")
    ] == []
    scraping = [
        yaml.safe_load(text(s, "prometheus.yml"))["scrape_configs"]
        for s in platform.services
        if s.name == "prometheus"
    ]
    assert not [
        job
        for jobs in scraping
        for job in jobs
        if job["job_name"].startswith(name) and name != "prometheus"
    ]


def _authority() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    begins = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
    )
    made = (
        builder.not_valid_before(begins)
        .not_valid_after(begins + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


AUTHORITY = _authority()
EXTERNAL = {
    "host": "store.example.org",
    "port": 7777,
    "tls": True,
    "username": "u",
    "password": "p@ss/word",
    "database": "d",
}


def test_litellm_is_wired_to_external_stores() -> None:
    platform = make_platform(postgres={"external": EXTERNAL}, redis={"external": EXTERNAL})
    config = yaml.safe_load(text(platform.by_name("litellm"), "config.yaml"))
    assert (
        config["general_settings"]["database_url"]
        == "postgresql://u:p%40ss%2Fword@store.example.org:7777/d?sslmode=require&sslaccept=strict"
    )
    assert config["litellm_settings"]["cache_params"]["host"] == "store.example.org"
    assert config["litellm_settings"]["cache_params"]["ssl"] is True
    assert not {"postgres", "redis-cache"} & set(platform.by_name("litellm").networks)


def test_exporters_watch_external_stores() -> None:
    platform = make_platform(postgres={"external": EXTERNAL}, redis={"external": EXTERNAL})
    assert (
        platform.by_name("postgres-exporter").env["DATA_SOURCE_URI"]
        == "store.example.org:7777/d?sslmode=verify-full"
    )
    assert platform.by_name("redis-exporter").env["REDIS_ADDR"] == "rediss://store.example.org:7777"


def test_grafana_reads_an_external_prometheus() -> None:
    platform = make_platform(prometheus={"external": EXTERNAL})
    source = yaml.safe_load(text(platform.by_name("grafana"), "datasources/groundwork.yaml"))[
        "datasources"
    ][0]
    assert (source["url"], source["basicAuthUser"]) == ("https://store.example.org:7777", "u")


def test_shared_redis_is_one_instance_that_never_evicts() -> None:
    platform = make_platform(redis={"shared": True})
    instances = [service for service in platform.services if service.kind == "redis"]
    assert [service.name for service in instances] == ["redis-queue"]
    assert instances[0].checks["policy"] == "noeviction"
    assert "redis-queue" in platform.by_name("litellm").networks


CHAIN = {
    "providers": {
        "ollama": {"url": "http://host.docker.internal:11434"},
        "openrouter": {"apiKey": "key-or"},
        "openai": {"apiKey": "key-oa", "baseUrl": "http://stub:1"},
        "anthropic": {"apiKey": "key-an"},
    }
}


def test_chain_is_in_the_order_of_the_mission() -> None:
    config = yaml.safe_load(text(make_platform(litellm=CHAIN).by_name("litellm"), "config.yaml"))
    assert [
        (item["litellm_params"]["model"].split("/")[0], item["litellm_params"]["order"])
        for item in config["model_list"]
    ] == [
        ("ollama_chat", 1),
        ("openrouter", 2),
        ("openai", 3),
        ("anthropic", 4),
    ]
    assert {item["model_name"] for item in config["model_list"]} == {"default"}
    assert config["litellm_settings"]["max_budget"] == 2.0
    assert list(config["litellm_settings"])[:2] == [
        "prometheus_exclude_labels",
        "callbacks",
    ], "the callbacks read it as they start"
    assert config["litellm_settings"]["budget_duration"] == "1d"


def test_chain_holds_only_providers_that_can_be_asked() -> None:
    context = make_context(litellm={"providers": {"openai": {"apiKey": "key-oa"}}})
    found = [
        item["litellm_params"] for item in model_chain.deployments(context.settings.of(Litellm))
    ]
    assert [(item["model"], item["order"]) for item in found] == [("openai/gpt-4o-mini", 1)]
    assert [item.service for item in litellm.left_out(context)] == [
        "litellm: ollama",
        "litellm: openrouter",
        "litellm: anthropic",
    ]


def test_budget_is_kept_in_redis_where_there_is_no_database() -> None:
    config = yaml.safe_load(
        text(make_platform(images="packages", litellm=CHAIN).by_name("litellm"), "config.yaml")
    )
    assert set(config["router_settings"]["provider_budget_config"]) == {
        "openrouter",
        "openai",
        "anthropic",
    }
    assert "database_url" not in config["general_settings"]


ROTATED = {name: {"secretGeneration": 2} for name in ("litellm", "minio", "postgres", "grafana")}


@pytest.mark.parametrize(
    ("name", "kept", "rotated"),
    [
        ("litellm", "salt-key", "master-key"),
        ("minio", "encryption", "root"),
    ],
)
def test_salt_and_encryption_keys_survive_a_rotation(name: str, kept: str, rotated: str) -> None:
    before = make_platform().by_name(name).credentials
    after = make_platform(**ROTATED).by_name(name).credentials
    assert before[kept] == after[kept]
    assert before[rotated] != after[rotated]


@pytest.mark.parametrize(
    ("audit", "statements"),
    [("off", None), ("connections", "'none'"), ("ddl", "'ddl'"), ("writes", "'mod'")],
)
def test_postgres_logs_what_its_audit_asks_for(audit: str, statements: str | None) -> None:
    service = make_platform(postgres={"audit": audit}).by_name("postgres")
    lines = dict(
        line.split(" = ", 1)
        for line in text(service, "postgresql.conf").splitlines()
        if " = " in line
    )
    assert lines.get("log_statement") == statements
    logged = (lines.get("log_connections"), lines.get("log_disconnections"))
    assert logged == ((None, None) if audit == "off" else ("on", "on"))


@pytest.mark.parametrize("purpose", ["superuser", "app", "monitoring"])
def test_every_password_of_postgres_is_rotated(purpose: str) -> None:
    before, after = (make_platform(**keys).by_name("postgres") for keys in ({}, ROTATED))
    assert before.credentials[purpose] != after.credentials[purpose]


@pytest.mark.parametrize(
    ("now", "known"), [(1, []), (2, [1]), (4, [3, 2, 1]), (9, [8, 7, 6, 5, 4, 1])]
)
def test_the_job_of_postgres_knows_the_superusers_earlier_passwords(
    now: int, known: list[int]
) -> None:
    """The server has one of them after a rotation; a later one is nobody's to know."""
    (job,) = make_platform(postgres={"secretGeneration": now}).by_name("postgres").jobs
    prefix = "/etc/groundwork/superuser-password-"
    placed = [item.path for item in job.files if item.path.startswith(prefix)]
    assert placed == [f"{prefix}{number}" for number in known]
    assert " ".join(placed) in job.script


def test_a_rotation_does_not_replace_postgres_on_docker() -> None:
    """Its job sets the passwords in the running server."""
    before, after = (make_platform(**keys).by_name("postgres") for keys in ({}, ROTATED))
    assert volume(before, Secret("key")) == volume(after, Secret("key"))


def test_grafanas_password_is_rotated() -> None:
    before, after = (
        make_platform(**keys).by_name("grafana").credentials["admin"] for keys in ({}, ROTATED)
    )
    assert before != after


def test_grafanas_encryption_key_survives_a_rotation() -> None:
    before, after = make_platform(), make_platform(**ROTATED)
    assert text(before.by_name("grafana"), "secret-key") == text(
        after.by_name("grafana"), "secret-key"
    )


def test_litellm_master_key_is_strong_and_starts_as_litellm_wants() -> None:
    assert re.fullmatch(
        r"sk-[A-Za-z0-9]{32}", make_platform().by_name("litellm").credentials["master-key"].reveal()
    )


@pytest.mark.parametrize(
    ("index", "wanted", "unwanted"),
    [
        ("hnsw", "USING hnsw (embedding vector_cosine_ops)", "USING ivfflat"),
        ("ivfflat", "USING ivfflat (embedding vector_cosine_ops)", "USING hnsw"),
    ],
)
def test_vector_index_is_a_setting(index: str, wanted: str, unwanted: str) -> None:
    service = make_platform(postgres={"vectors": {"index": index, "dimensions": 384}}).by_name(
        "postgres"
    )
    statements = " ".join(text(service, "index.sql").split())
    assert wanted in statements
    assert unwanted not in statements
    assert "vector(384)" in text(service, "schema.sql")


def test_application_targets_are_scraped() -> None:
    targets = [
        {"name": "web", "address": "host.docker.internal:3000"},
        {"name": "api", "address": "api:8000", "path": "/m", "tls": True},
    ]
    jobs = yaml.safe_load(
        text(make_platform(prometheus={"targets": targets}).by_name("prometheus"), "prometheus.yml")
    )["scrape_configs"]
    found = {
        job["job_name"]: (job["scheme"], job["metrics_path"], job["static_configs"][0]["targets"])
        for job in jobs
        if job["job_name"] in ("web", "api")
    }
    assert found == {
        "web": ("http", "/api/metrics", ["host.docker.internal:3000"]),
        "api": ("https", "/m", ["api:8000"]),
    }


PARSERS: dict[str, Callable[[str], object]] = {
    ".yml": yaml.safe_load,
    ".yaml": yaml.safe_load,
    ".json": json.loads,
}
PARSED = [
    (source, name, item.path)
    for source, name in SERVICES
    for item in files(get(source, name))
    if PurePath(item.path).suffix in PARSERS
]


@pytest.mark.parametrize(("source", "name", "path"), PARSED, ids=str)
def test_every_yaml_and_json_file_parses(source: str, name: str, path: str) -> None:
    content = next(item.content for item in files(get(source, name)) if item.path == path)
    plain = content.reveal() if isinstance(content, Secret) else content
    assert isinstance(PARSERS[PurePath(path).suffix](plain), dict)


def test_qdrant_is_closed_down() -> None:
    config = yaml.safe_load(text(make_platform().by_name("qdrant"), "qdrant.yaml"))
    assert config["service"]["enable_snapshot_url_recovery"] is False
    assert config["telemetry_disabled"] is True
    assert config["service"]["api_key"] != config["service"]["read_only_api_key"]
    assert config["storage"]["snapshots_path"].startswith("/qdrant/storage/")


def test_clickhouse_keeps_no_password_and_no_default_user() -> None:
    service = make_platform().by_name("clickhouse")
    users = yaml.safe_load(text(service, "users.d/groundwork.yaml"))["users"]
    assert users["default"] == {"@remove": "remove"}
    assert [
        name
        for name in ("admin", "app", "monitoring")
        if not re.fullmatch(r"[0-9a-f]{64}", users[name]["password_sha256_hex"])
    ] == []
    config = yaml.safe_load(text(service, "config.d/groundwork.yaml"))
    assert [table for table in clickhouse.SYSTEM_LOGS if "7 DAY" not in config[table]["ttl"]] == []
    pool = config["background_pool_size"]
    assert [name for name, value in config["merge_tree"].items() if value > 2 * pool] == [], (
        "the server would exit with code 36"
    )


def test_minio_application_policy_names_only_declared_buckets() -> None:
    policy = json.loads(
        text(
            make_platform(minio={"buckets": [{"name": "one"}, {"name": "two"}]}).by_name("minio"),
            "app-policy.json",
        )
    )
    resources = {
        resource for statement in policy["Statement"] for resource in statement["Resource"]
    }
    assert resources == {
        "arn:aws:s3:::one",
        "arn:aws:s3:::one/*",
        "arn:aws:s3:::two",
        "arn:aws:s3:::two/*",
    }
    assert [
        action
        for statement in policy["Statement"]
        for action in statement["Action"]
        if "*" in action
    ] == []
    denied = [
        statement["Action"] for statement in policy["Statement"] if statement["Effect"] == "Deny"
    ]
    assert denied == [["s3:DeleteObjectVersion"]], "whoever steals the key cannot destroy what was"


def test_external_services_are_verified_with_the_authority_that_the_stack_names() -> None:
    trusted = {**EXTERNAL, "caCertificate": AUTHORITY}
    platform = make_platform(
        postgres={"external": trusted},
        redis={"external": trusted},
        prometheus={"external": trusted},
    )
    assert (
        platform.by_name("postgres-exporter").env["DATA_SOURCE_URI"]
        == "store.example.org:7777/d?sslmode=verify-full&sslrootcert=/etc/groundwork/ca.pem"
    )
    assert text(platform.by_name("postgres-exporter"), "ca.pem") == AUTHORITY
    assert (
        platform.by_name("redis-exporter").env["REDIS_EXPORTER_TLS_CA_CERT_FILE"]
        == "/etc/groundwork/ca.pem"
    )
    litellm_config = yaml.safe_load(text(platform.by_name("litellm"), "config.yaml"))
    assert litellm_config["general_settings"]["database_url"].endswith(
        "?sslmode=require&sslaccept=strict&sslcert=/etc/groundwork/postgres-ca.pem"
    )
    assert (
        litellm_config["litellm_settings"]["cache_params"]["ssl_ca_certs"]
        == "/etc/groundwork/redis-ca.pem"
    )
    source = yaml.safe_load(text(platform.by_name("grafana"), "datasources/groundwork.yaml"))[
        "datasources"
    ][0]
    assert source["jsonData"]["tlsAuthWithCACert"] is True
    assert source["secureJsonData"]["tlsCACert"] == AUTHORITY


@pytest.mark.parametrize(
    ("verified", "expected"), [(True, "ca_file"), (False, "insecure_skip_verify")]
)
def test_kubelets_are_verified_unless_they_sign_for_themselves(
    verified: bool, expected: str
) -> None:
    cluster = {"context": "c", "verifyKubelets": verified}
    jobs = yaml.safe_load(
        text(
            make_platform(target="kubernetes", kubernetes=cluster).by_name("prometheus"),
            "prometheus.yml",
        )
    )["scrape_configs"]
    assert {tuple(job["tls_config"]) for job in jobs if "tls_config" in job} == {(expected,)}


def test_postgres_is_sent_verifiers_and_the_schema_is_its_owners() -> None:
    service = make_platform().by_name("postgres")
    roles = text(service, "roles.sql")
    assert roles.count("SCRAM-SHA-256$4096:") == 6, "five roles and the superuser"
    assert not [name for name, secret in service.credentials.items() if secret.reveal() in roles]
    (job,) = service.jobs
    before, _, after = job.script.partition("PGUSER=app_owner")
    assert "schema.sql" not in before
    assert "schema.sql" in after
    assert "index.sql" in after


def test_a_scram_verifier_is_that_of_the_standard() -> None:
    """The exchange of RFC 7677: what the verifier holds checks the client's proof and makes the
    server's signature.
    """
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    salt = "W22ZaJ0SNY7soEsUEjb6gQ=="
    said = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s={salt},i=4096,c=biws,r={nonce}".encode()
    made = scram.compute(b"pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    stored, server = (base64.b64decode(part) for part in made.rpartition("$")[2].split(":"))
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    client = bytes(a ^ b for a, b in zip(proof, hmac.digest(stored, said, "sha256"), strict=True))
    assert hashlib.sha256(client).digest() == stored
    assert (
        base64.b64encode(hmac.digest(server, said, "sha256"))
        == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    )


def test_an_ivfflat_index_waits_for_rows_and_is_kept_up() -> None:
    index = {"vectors": {"index": "ivfflat"}}
    service = make_platform(postgres=index).by_name("postgres")
    assert "rows >= 1000" in text(service, "index.sql")
    assert service.jobs[0].upkeep is not None
    assert "rows >= 10000" in text(
        make_platform(
            postgres={"vectors": {"index": "ivfflat", "ivfflat": {"lists": 200}}}
        ).by_name("postgres"),
        "index.sql",
    )
    assert make_platform().by_name("postgres").jobs[0].upkeep is None


def test_prometheus_password_hash_fits_its_password() -> None:
    import bcrypt

    service = make_platform().by_name("prometheus")
    hashes = yaml.safe_load(text(service, "web.yml"))["basic_auth_users"]
    assert hashes
    assert [
        user
        for user, stored in hashes.items()
        if not bcrypt.checkpw(service.credentials[user].reveal().encode(), stored.encode())
    ] == []


@pytest.mark.parametrize("enabled", [True, False], ids=["there", "left out"])
def test_prometheus_starts_after_the_alertmanager_that_hears_it(enabled: bool) -> None:
    """The first time nobody listens costs half a minute. They share no further network for it."""
    platform = make_platform(images="packages", alertmanager={"enabled": enabled})
    order = [service.name for service in platform.in_order()]
    assert order.index("prometheus") > (order.index("alertmanager") if enabled else 0)
    assert "alertmanager" not in platform.by_name("prometheus").networks
