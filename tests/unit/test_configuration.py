"""The stack's configuration: what is refused, by which key, why, and with which fix."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import configuration, validation
from infra.refusal import PreflightError, Violation
from tests.unit.conftest import MASTER, make_platform, make_settings, text

ROOT = Path(__file__).resolve().parents[2]
BASE = {"groundwork:masterSecret": MASTER, "groundwork:instance": "abc123"}
ON_KUBERNETES = {"groundwork:target": "kubernetes", "groundwork:kubernetes": {"context": "test"}}
SECRET = ("groundwork:masterSecret",)


def load(config: dict[str, Any], secret_keys: tuple[str, ...] = SECRET) -> list[Violation]:
    flat = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in {**BASE, **config}.items()
        if value is not None
    }
    try:
        settings = configuration.load(flat, secret_keys, stack="dev")
    except PreflightError as refused:
        return list(refused.problems)
    return validation.check(settings)


def test_accepts_the_smallest_configuration() -> None:
    assert load({}) == []


REFUSED = [
    (
        "a mistyped key",
        {"groundwork:postgress": {}},
        "groundwork:postgress",
        "did you mean `postgres`?",
    ),
    (
        "a mistyped nested key",
        {"groundwork:postgres": {"memroy": "1GiB"}},
        "groundwork:postgres.memroy",
        "did you mean `memory`?",
    ),
    (
        "a mistyped key in a list",
        {"groundwork:minio": {"buckets": [{"name": "abc", "versions": True}]}},
        "groundwork:minio.buckets.0.versions",
        "did you mean `versioning`?",
    ),
    (
        "a key in snake case",
        {"groundwork:postgres": {"max_connections": 10}},
        "groundwork:postgres.max_connections",
        "did you mean `maxConnections`?",
    ),
    (
        "a mistyped namespace",
        {"groundwerk:images": "registry"},
        "groundwerk:images",
        "rename it to `groundwork:images`",
    ),
    (
        "a size without a unit",
        {"groundwork:postgres": {"memory": 512}},
        "groundwork:postgres.memory",
        None,
    ),
    (
        "a size in another unit",
        {"groundwork:postgres": {"memory": "512MB"}},
        "groundwork:postgres.memory",
        None,
    ),
    (
        "too little memory",
        {"groundwork:postgres": {"memory": "8MiB"}},
        "groundwork:postgres.memory",
        None,
    ),
    (
        "a duration without a unit",
        {"groundwork:prometheus": {"retention": "15"}},
        "groundwork:prometheus.retention",
        None,
    ),
    (
        "a port that is a word",
        {"groundwork:postgres": {"port": "http"}},
        "groundwork:postgres.port",
        None,
    ),
    (
        "a port out of range",
        {"groundwork:postgres": {"port": 70000}},
        "groundwork:postgres.port",
        None,
    ),
    (
        "a boolean that is a word",
        {"groundwork:postgres": {"enabled": "maybe"}},
        "groundwork:postgres.enabled",
        None,
    ),
    ("an unknown target", {"groundwork:target": "swarm"}, "groundwork:target", None),
    ("an unknown image source", {"groundwork:images": "Docker Hub"}, "groundwork:images", None),
    (
        "an unknown eviction policy",
        {"groundwork:redis": {"cache": {"policy": "random"}}},
        "groundwork:redis.cache.policy",
        None,
    ),
    (
        "a queue that evicts",
        {"groundwork:redis": {"queue": {"policy": "allkeys-lru"}}},
        "groundwork:redis.queue.policy",
        "noeviction",
    ),
    (
        "too many dimensions for an index",
        {"groundwork:postgres": {"vectors": {"dimensions": 4096}}},
        "groundwork:postgres.vectors.dimensions",
        None,
    ),
    (
        "HNSW with too few candidates",
        {"groundwork:postgres": {"vectors": {"hnsw": {"m": 40}}}},
        "groundwork:postgres.vectors.hnsw",
        None,
    ),
    (
        "a bucket's name that S3 forbids",
        {"groundwork:minio": {"buckets": [{"name": "My_Bucket"}]}},
        "groundwork:minio.buckets.0.name",
        None,
    ),
    (
        "a bucket twice",
        {"groundwork:minio": {"buckets": [{"name": "abc"}, {"name": "abc"}]}},
        "groundwork:minio.buckets",
        "remove one",
    ),
    (
        "a lifecycle finer than days",
        {"groundwork:minio": {"buckets": [{"name": "abc", "expireAfter": "36h"}]}},
        "groundwork:minio.buckets.0.expireAfter",
        None,
    ),
    (
        "an external service without an endpoint",
        {"groundwork:qdrant": {"external": {"port": 6333}}},
        "groundwork:qdrant.external.host",
        "set it",
    ),
    (
        "an external database without a user",
        {"groundwork:postgres": {"external": {"host": "db", "port": 5432}}},
        "groundwork:postgres.external.username",
        "set it",
    ),
    (
        "LiteLLM without Redis",
        {"groundwork:redis": {"enabled": False}},
        "groundwork:redis.enabled",
        "external",
    ),
    (
        "LiteLLM without Postgres",
        {"groundwork:postgres": {"enabled": False}},
        "groundwork:postgres.enabled",
        "external",
    ),
    (
        "Grafana without Prometheus",
        {"groundwork:prometheus": {"enabled": False}},
        "groundwork:prometheus.enabled",
        "external",
    ),
    (
        "an API key in plain text",
        {"groundwork:litellm": {"providers": {"openai": {"apiKey": "sk-live"}}}},
        "groundwork:litellm.providers.openai.apiKey",
        "--secret",
    ),
    (
        "a default master secret",
        {"groundwork:masterSecret": "changeme"},
        "groundwork:masterSecret",
        "make up",
    ),
    (
        "a weak master secret",
        {"groundwork:masterSecret": "a" * 40},
        "groundwork:masterSecret",
        "make up",
    ),
    ("no master secret", {"groundwork:masterSecret": None}, "groundwork:masterSecret", "make up"),
    ("no instance", {"groundwork:instance": None}, "groundwork:instance", "make up"),
    ("an instance with a space", {"groundwork:instance": "a b c d"}, "groundwork:instance", None),
    (
        "a scrape target without a port",
        {"groundwork:prometheus": {"targets": [{"name": "app", "address": "app"}]}},
        "groundwork:prometheus.targets.0.address",
        None,
    ),
    (
        "a lifecycle of no days",
        {"groundwork:minio": {"buckets": [{"name": "abc", "expireAfter": "0d"}]}},
        "groundwork:minio.buckets.0.expireAfter",
        None,
    ),
    (
        "a bucket's name with two dots",
        {"groundwork:minio": {"buckets": [{"name": "a..b"}]}},
        "groundwork:minio.buckets.0.name",
        None,
    ),
    (
        "a retention finer than days",
        {"groundwork:clickhouse": {"retention": "36h"}},
        "groundwork:clickhouse.retention",
        None,
    ),
    ("too few cores", {"groundwork:postgres": {"cpus": 0.001}}, "groundwork:postgres.cpus", None),
    (
        "a fraction as `pulumi config set` writes it",
        {"groundwork:litellm": {"dailyBudgetUsd": "2.5"}},
        "groundwork:litellm.dailyBudgetUsd",
        "stack's file",
    ),
    (
        "an address that is none",
        {"groundwork:bindAddress": "999.1.1.1"},
        "groundwork:bindAddress",
        "127.0.0.1",
    ),
    (
        "a mistyped image source",
        {"groundwork:images": "pakages"},
        "groundwork:images",
        "`packages`",
    ),
    (
        "a database that is taken",
        {"groundwork:postgres": {"database": "litellm"}},
        "groundwork:postgres.database",
        "another",
    ),
    (
        "a provider on the container's own loopback",
        {"groundwork:litellm": {"providers": {"ollama": {"url": "http://localhost:11434"}}}},
        "groundwork:litellm.providers.ollama.url",
        "host.docker.internal",
    ),
    (
        "settings of a cache that there is not",
        {"groundwork:redis": {"shared": True, "cache": {"memory": "1GiB"}}},
        "groundwork:redis.cache",
        "redis.queue",
    ),
    (
        "a scrape target with a name of ours",
        {"groundwork:prometheus": {"targets": [{"name": "minio", "address": "a:1"}]}},
        "groundwork:prometheus.targets",
        "rename",
    ),
    ("another provider's namespace", {"pg:memory": "1GiB"}, "pg:memory", "remove"),
    (
        "Kubernetes without a context",
        {"groundwork:target": "kubernetes"},
        "groundwork:kubernetes.context",
        "get-contexts",
    ),
    (
        "a cluster's setting on Docker",
        {"groundwork:kubernetes": {"storageClass": "fast"}},
        "groundwork:kubernetes.storageClass",
        "groundwork:target",
    ),
    (
        "copies on a Docker host",
        {"groundwork:qdrant": {"replicas": 3}},
        "groundwork:qdrant.replicas",
        "kubernetes",
    ),
    (
        "an autoscaler on a Docker host",
        {"groundwork:litellm": {"maxReplicas": 3}},
        "groundwork:litellm.maxReplicas",
        "kubernetes",
    ),
    (
        "copies of a Redis",
        {**ON_KUBERNETES, "groundwork:redis": {"queue": {"replicas": 2}}},
        "groundwork:redis.queue.replicas",
        "groundwork:redis.external",
    ),
    (
        "copies of ClickHouse",
        {**ON_KUBERNETES, "groundwork:clickhouse": {"replicas": 2}},
        "groundwork:clickhouse.replicas",
        "groundwork:clickhouse.external",
    ),
    (
        "copies of MinIO",
        {**ON_KUBERNETES, "groundwork:minio": {"replicas": 4}},
        "groundwork:minio.replicas",
        "groundwork:minio.external",
    ),
    (
        "copies of Grafana",
        {**ON_KUBERNETES, "groundwork:grafana": {"replicas": 2}},
        "groundwork:grafana.replicas",
        "memory",
    ),
    (
        "an operator without its images",
        {**ON_KUBERNETES, "groundwork:images": "packages", "groundwork:postgres": {"replicas": 3}},
        "groundwork:postgres.replicas",
        "registry",
    ),
    (
        "an autoscaler that shrinks",
        {**ON_KUBERNETES, "groundwork:litellm": {"replicas": 4, "maxReplicas": 2}},
        "groundwork:litellm.maxReplicas",
        "raise",
    ),
    (
        "a host's address on Kubernetes",
        {**ON_KUBERNETES, "groundwork:bindAddress": "10.0.0.1"},
        "groundwork:bindAddress",
        "ingress",
    ),
    (
        "Docker's name of the host on Kubernetes",
        {
            **ON_KUBERNETES,
            "groundwork:litellm": {
                "providers": {"ollama": {"url": "http://host.docker.internal:11434"}}
            },
        },
        "groundwork:litellm.providers.ollama.url",
        "pods",
    ),
    (
        "an ingress to what is off",
        {
            "groundwork:target": "kubernetes",
            "groundwork:qdrant": {"enabled": False},
            "groundwork:kubernetes": {
                "context": "c",
                "ingress": {
                    "controllerNamespace": "i",
                    "hosts": [{"service": "qdrant", "host": "q.example.org"}],
                },
            },
        },
        "groundwork:kubernetes.ingress.hosts",
        "q.example.org",
    ),
    (
        "an ingress that policies keep out",
        {
            "groundwork:target": "kubernetes",
            "groundwork:kubernetes": {
                "context": "c",
                "ingress": {"hosts": [{"service": "litellm", "host": "l.example.org"}]},
            },
        },
        "groundwork:kubernetes.ingress.controllerNamespace",
        "networkPolicies",
    ),
    (
        "a namespace that cannot be",
        {
            "groundwork:target": "kubernetes",
            "groundwork:kubernetes": {"context": "c", "namespace": "Not_A_Name"},
        },
        "groundwork:kubernetes.namespace",
        None,
    ),
    (
        "a scrape target twice",
        {
            "groundwork:prometheus": {
                "targets": [{"name": "app", "address": "a:1"}, {"name": "app", "address": "b:1"}]
            }
        },
        "groundwork:prometheus.targets",
        "rename",
    ),
    (
        "scrapes too rare for the rules",
        {"groundwork:prometheus": {"scrapeInterval": "5m"}},
        "groundwork:prometheus.scrapeInterval",
        None,
    ),
    (
        "a trace endpoint twice",
        {
            "groundwork:alloy": {
                "forwardTraces": [
                    {"name": "a", "endpoint": "https://a.org"},
                    {"name": "a", "endpoint": "https://b.org"},
                ]
            }
        },
        "groundwork:alloy.forwardTraces",
        "rename",
    ),
    (
        "an audit that nobody keeps",
        {"groundwork:minio": {"audit": True}, "groundwork:loki": {"enabled": False}},
        "groundwork:minio.audit",
        "enable Alloy and Loki",
    ),
    (
        "an audit that nobody takes",
        {"groundwork:minio": {"audit": True}, "groundwork:observability": {"enabled": False}},
        "groundwork:minio.audit",
        "enable Alloy and Loki",
    ),
    (
        "a mailbox's user without a password",
        {
            "groundwork:alertmanager": {
                "email": {
                    "to": "a@b.org",
                    "sender": "c@b.org",
                    "host": "m.b.org:587",
                    "username": "u",
                }
            }
        },
        "groundwork:alertmanager.email.password",
        "set it too",
    ),
    (
        "a boolean in quotes",
        {"groundwork:observability": {"enabled": "no"}},
        "groundwork:observability.enabled",
        None,
    ),
    (
        "a boolean for a number",
        {"groundwork:postgres": {"cpus": True}},
        "groundwork:postgres.cpus",
        None,
    ),
    (
        "a size with a newline",
        {"groundwork:postgres": {"memory": "512MiB\n"}},
        "groundwork:postgres.memory",
        None,
    ),
    (
        "a size of 400 digits",
        {"groundwork:postgres": {"memory": "9" * 400 + "GiB"}},
        "groundwork:postgres.memory",
        None,
    ),
    (
        "a host with a second line",
        {"groundwork:qdrant": {"external": {"host": "q\nA=b", "port": 1}}},
        "groundwork:qdrant.external.host",
        None,
    ),
    (
        "a host that is the container",
        {"groundwork:qdrant": {"external": {"host": "LOCALHOST", "port": 1}}},
        "groundwork:qdrant.external.host",
        "host.docker.internal",
    ),
    (
        "a host that is a cloud's metadata",
        {"groundwork:qdrant": {"external": {"host": "169.254.169.254", "port": 1}}},
        "groundwork:qdrant.external.host",
        "own address",
    ),
    (
        "a path that is a query",
        {"groundwork:prometheus": {"targets": [{"name": "a", "address": "a:1", "path": "/m?x=1"}]}},
        "groundwork:prometheus.targets.0.path",
        None,
    ),
    (
        "a port beyond the last",
        {"groundwork:prometheus": {"targets": [{"name": "a", "address": "a:99999"}]}},
        "groundwork:prometheus.targets.0.address",
        None,
    ),
    (
        "a retention that wraps",
        {"groundwork:clickhouse": {"retention": "36500d"}},
        "groundwork:clickhouse.retention",
        None,
    ),
    (
        "a retention that overflows",
        {"groundwork:prometheus": {"retention": "200000d"}},
        "groundwork:prometheus.retention",
        None,
    ),
    (
        "ClickHouse's own database",
        {"groundwork:clickhouse": {"database": "system"}},
        "groundwork:clickhouse.database",
        "another",
    ),
    (
        "MinIO's own bucket",
        {"groundwork:minio": {"buckets": [{"name": "minio"}]}},
        "groundwork:minio.buckets.0.name",
        "another",
    ),
    (
        "more connections than memory",
        {"groundwork:postgres": {"memory": "256MiB", "maxConnections": 5000}},
        "groundwork:postgres.maxConnections",
        "memory",
    ),
    (
        "an append-only file that does not fit",
        {"groundwork:redis": {"queue": {"memory": "1GiB", "disk": "64MiB"}}},
        "groundwork:redis.queue.disk",
        "1GiB",
    ),
    (
        "a word of the collector's",
        {"groundwork:alloy": {"forwardTraces": [{"name": "null", "endpoint": "https://a.org"}]}},
        "groundwork:alloy.forwardTraces.0.name",
        "another",
    ),
    (
        "more probes than lists",
        {"groundwork:postgres": {"vectors": {"ivfflat": {"lists": 10, "probes": 20}}}},
        "groundwork:postgres.vectors.ivfflat",
        None,
    ),
    (
        "two services on one host",
        {
            "groundwork:target": "kubernetes",
            "groundwork:kubernetes": {
                "context": "c",
                "ingress": {
                    "controllerNamespace": "i",
                    "hosts": [
                        {"service": "litellm", "host": "x.org", "tlsSecret": "t"},
                        {"service": "grafana", "host": "x.org", "tlsSecret": "t"},
                    ],
                },
            },
        },
        "groundwork:kubernetes.ingress.hosts",
        "its own",
    ),
    (
        "an ingress in plain text",
        {
            "groundwork:target": "kubernetes",
            "groundwork:kubernetes": {
                "context": "c",
                "ingress": {
                    "controllerNamespace": "i",
                    "hosts": [{"service": "clickhouse", "host": "x.org"}],
                },
            },
        },
        "groundwork:kubernetes.ingress.hosts.0.tlsSecret",
        "plainHttp",
    ),
    (
        "a master secret of four words",
        {"groundwork:masterSecret": "correct horse battery staple"},
        "groundwork:masterSecret",
        "make up",
    ),
]


@pytest.mark.parametrize(
    ("config", "key", "fix"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_refuses(config: dict[str, Any], key: str, fix: str | None) -> None:
    """One message with the key, a reason and a fix."""
    problems = load(config)
    found = [problem for problem in problems if problem.key == key]
    assert len(found) == 1, problems
    assert found[0].reason
    assert found[0].fix
    assert fix is None or fix in found[0].fix


def test_reports_every_problem_at_once() -> None:
    problems = load({"groundwork:postgress": {}, "groundwork:redis": {"cache": {"memory": 1}}})
    assert {problem.key for problem in problems} == {
        "groundwork:postgress",
        "groundwork:redis.cache.memory",
    }


def test_master_secret_in_plain_text_is_refused() -> None:
    assert [problem.key for problem in load({}, secret_keys=())] == ["groundwork:masterSecret"]


def test_a_refusal_shows_no_secret() -> None:
    weak = "changeme-" + MASTER
    message = str(
        PreflightError(
            load(
                {
                    "groundwork:masterSecret": weak,
                    "groundwork:litellm": {"providers": {"openai": {"apiKey": ["sk-live-key"]}}},
                }
            )
        )
    )
    assert MASTER not in message
    assert "sk-live-key" not in message


@pytest.mark.parametrize("namespace", ["kubernetes", "pulumi"])
def test_leaves_other_namespaces_alone(namespace: str) -> None:
    assert load({f"{namespace}:host": "x"}) == []


@pytest.mark.parametrize(
    "images",
    [
        "registry",
        "packages",
        "mirror.example.org",
        "localhost:5000",
        "mirror.example.org:5000/team/groundwork",
    ],
)
def test_accepts_every_image_source(images: str) -> None:
    assert load({"groundwork:images": images}) == []


def test_an_engine_of_another_configuration_is_refused() -> None:
    assert [problem.key for problem in load({"docker:host": "tcp://elsewhere:2376"})] == [
        "docker:host"
    ]


def test_plain_text_is_found_beside_encrypted_values() -> None:
    """Pulumi calls a whole group secret when one value in it is encrypted, so the file itself is
    read.
    """
    providers = {"openai": {"apiKey": {"secure": "v1:x"}}, "anthropic": {"apiKey": "sk-ant-plain"}}
    file = {
        "config": {
            "groundwork:litellm": {"providers": providers},
            "groundwork:masterSecret": {"secure": "v1:y"},
        }
    }
    assert [problem.key for problem in configuration.plain_text_in(file)] == [
        "groundwork:litellm.providers.anthropic.apiKey"
    ]


def test_the_namespace_follows_from_the_stack() -> None:
    flat = {
        **BASE,
        "groundwork:target": "kubernetes",
        "groundwork:kubernetes": json.dumps({"context": "c"}),
    }
    assert configuration.load(flat, SECRET, stack="staging").namespace == "groundwork-staging"


def test_the_production_example_is_accepted() -> None:
    """As it stands, but for the keys that the first `make up` adds."""
    config = yaml.safe_load((ROOT / "Pulumi.prod.yaml").read_text())["config"]
    assert load(config) == []


@pytest.mark.parametrize(
    ("host", "refused"),
    [
        ("q.example.org", True),
        ("8.8.8.8", True),
        ("10.1.2.3", False),
        ("qdrant", False),
        ("qdrant.shop.svc", False),
        ("q.internal", False),
    ],
)
def test_a_password_crosses_no_public_network_in_plain_text(host: str, refused: bool) -> None:
    config = {
        "groundwork:qdrant": {
            "external": {"host": host, "port": 6333, "tls": False, "password": "key-of-qdrant"}
        }
    }
    keys = [problem.key for problem in load(config, (*SECRET, "groundwork:qdrant"))]
    assert keys == (["groundwork:qdrant.external.tls"] if refused else [])


def test_settings_are_immutable() -> None:
    settings = make_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.port_offset = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("alertmanager", "key"),
    [
        ({"webhook": {"url": "example.org/hook"}}, "groundwork:alertmanager.webhook.url"),
        (
            {"slack": {"webhookUrl": "hooks.slack.com/services/x"}},
            "groundwork:alertmanager.slack.webhookUrl",
        ),
        (
            {"deadMansSwitch": {"url": "ftp://example.org/ping"}},
            "groundwork:alertmanager.deadMansSwitch.url",
        ),
        (
            {
                "email": {
                    "to": "a@b.org",
                    "sender": "c@b.org",
                    "host": "m.b.org:587",
                    "password": "pw-of-mail",
                }
            },
            "groundwork:alertmanager.email.username",
        ),
    ],
)
def test_a_receiver_that_could_never_be_reached_is_refused(
    alertmanager: dict[str, Any], key: str
) -> None:
    """And what is secret of it is not shown."""
    (problem,) = load(
        {"groundwork:alertmanager": alertmanager}, (*SECRET, "groundwork:alertmanager")
    )
    assert problem.key == key
    assert not [
        value
        for receiver in alertmanager.values()
        for value in receiver.values()
        if value in problem.reason
    ]


def _jobs(target: str) -> list[str]:
    keys: dict[str, Any] = {
        "docker": {},
        "kubernetes": {"target": "kubernetes", "kubernetes": {"context": "test"}},
    }[target]
    made = text(make_platform(images="registry", **keys).by_name("prometheus"), "prometheus.yml")
    return [job["job_name"] for job in yaml.safe_load(made)["scrape_configs"]]


TARGETS: dict[str, dict[str, Any]] = {"docker": {}, "kubernetes": ON_KUBERNETES}


@pytest.mark.parametrize("target", TARGETS)
def test_prometheus_has_jobs_of_ours(target: str) -> None:
    assert {"postgres-exporter", "loki", "alloy", "grafana"} <= set(_jobs(target))


@pytest.mark.parametrize(
    ("target", "job"), [(target, job) for target in TARGETS for job in _jobs(target)]
)
def test_no_target_takes_the_name_of_a_job_of_ours(target: str, job: str) -> None:
    """Two jobs of one name, and Prometheus would refuse its configuration."""
    named = {"groundwork:prometheus": {"targets": [{"name": job, "address": "a:1"}]}}
    problems = load({**TARGETS[target], **named})
    assert [problem.key for problem in problems] == ["groundwork:prometheus.targets"]
