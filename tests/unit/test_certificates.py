"""Certificates inside a stack: derived, deterministic, and such as strict clients accept."""

import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from cryptography import x509
from cryptography.x509 import verification
from pydantic import ValidationError

from infra import sizing, validation
from infra.certificates import Authority, Issued
from infra.secret import Keyring, Secret
from infra.services import postgres
from infra.services.context import AUTHORITY, CERTIFICATE, CERTIFICATE_KEY
from infra.spec import Service
from infra.units import MIB
from tests.unit.conftest import MASTER, files, make_context, make_platform, make_settings, text

KEYRING = Keyring(Secret(MASTER))
OURS = Authority(KEYRING, "abc123")
NAMES = ("postgres", "localhost", "127.0.0.1", "::1")
ENCRYPTED: Mapping[str, Any] = {
    "images": "packages",
    "postgres": {"tls": True},
    "redis": {"tls": True},
    "minio": {"tls": True},
    "litellm": {"tls": True},
    "alloy": {"tls": True},
    "pooler": {"enabled": True},
}
_REMOVED = {"@remove": "remove"}
# MinIO looks for its own names.
NAMED = {"public.crt": CERTIFICATE, "private.key": CERTIFICATE_KEY}


def _issued(authority: Authority = OURS, generation: int = 1) -> Issued:
    return authority.issue("postgres", NAMES, generation)


def test_the_same_stack_has_the_same_bytes() -> None:
    """So that a second deploy changes nothing."""
    again = Authority(Keyring(Secret(MASTER)), "abc123")
    assert again.certificate == OURS.certificate
    assert again.issue("postgres", NAMES, 1) == _issued()


@pytest.mark.parametrize(
    "other",
    [
        Authority(Keyring(Secret("another-Master-2-with-enough-length")), "abc123"),
        Authority(KEYRING, "abc123", generation=2),
        Authority(KEYRING, "other1"),
    ],
    ids=["another master secret", "another generation", "another stack"],
)
def test_another_authority_vouches_for_nothing_of_ours(other: Authority) -> None:
    assert other.certificate != OURS.certificate
    with pytest.raises(verification.VerificationError):
        _verify(_issued(), other)


def test_a_generation_replaces_the_key() -> None:
    old, new = _issued(), _issued(generation=2)
    assert (old.certificate, old.key) != (new.certificate, new.key)
    assert old.key != new.key


def test_no_two_certificates_have_one_number() -> None:
    """Not even those of one key for other names."""
    issued = [
        OURS.issue("postgres", NAMES, 1),
        OURS.issue("postgres", NAMES[:2], 1),
        OURS.issue("postgres", NAMES, 2),
        OURS.issue("redis-cache", NAMES, 1),
    ]
    numbers = {
        x509.load_pem_x509_certificate(pem.encode()).serial_number
        for pem in [OURS.certificate, *(item.certificate for item in issued)]
    }
    assert len(numbers) == 5


def _verify(issued: Issued, authority: Authority, name: str = "postgres") -> None:
    store = verification.Store([x509.load_pem_x509_certificate(authority.certificate.encode())])
    try:
        subject: x509.DNSName | x509.IPAddress = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        subject = x509.DNSName(name)
    verifier = verification.PolicyBuilder().store(store).build_server_verifier(subject)
    verifier.verify(x509.load_pem_x509_certificate(issued.certificate.encode()), [])


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_valid(name: str) -> None:
    """By the rules of the Web's PKI, which are stricter than those of databases' clients."""
    _verify(_issued(), OURS, name)


def test_another_name_is_not() -> None:
    with pytest.raises(verification.VerificationError):
        _verify(_issued(), OURS, "redis-cache")


def test_a_strict_client_speaks_with_its_server(tmp_path: Path) -> None:
    """OpenSSL, as newer Pythons ask it to verify."""
    issued = _issued()
    for name, content in (("crt", issued.certificate), ("key", issued.key.reveal())):
        (tmp_path / name).write_text(content)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    client = ssl.create_default_context(cadata=OURS.certificate)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    near, far = socket.socketpair()

    def answer() -> None:
        with server.wrap_socket(far, server_side=True) as end:
            end.sendall(b"encrypted")

    thread = threading.Thread(target=answer)
    thread.start()
    with client.wrap_socket(near, server_hostname="127.0.0.1") as end:
        assert end.recv(9) == b"encrypted"
    thread.join()


@pytest.fixture(scope="module")
def encrypted() -> dict[str, Service]:
    """A platform whose stores require TLS, by name."""
    return {service.name: service for service in make_platform(**ENCRYPTED).services}


@pytest.mark.parametrize(
    "name",
    ["postgres", "pooler", "redis-cache", "redis-queue", "minio", "litellm", "alloy", "backup"],
)
def test_each_server_has_its_own_certificate(encrypted: dict[str, Service], name: str) -> None:
    """Its key is a secret, and no other service has it."""
    found = {NAMED.get(Path(item.path).name, item.path): item for item in files(encrypted[name])}
    certificate, key = found[CERTIFICATE], found[CERTIFICATE_KEY]
    assert isinstance(certificate.content, str)
    assert isinstance(key.content, Secret)
    _verify(Issued(certificate.content, key.content), OURS, name)
    others = [
        service.name
        for service in encrypted.values()
        for item in files(service)
        if item.content == key.content
    ]
    assert others == [name]


@pytest.mark.parametrize(
    "name",
    [
        "pooler",
        "postgres-exporter",
        "redis-cache-exporter",
        "redis-queue-exporter",
        "backup",
        "minio",
        "litellm",
        "prometheus",
    ],
)
def test_each_client_knows_the_authority(encrypted: dict[str, Service], name: str) -> None:
    assert text(encrypted[name], Path(AUTHORITY).name) == OURS.certificate


def test_nobody_connects_without_verifying(encrypted: dict[str, Service]) -> None:
    job = encrypted["postgres"].jobs[0]
    assert (job.env["PGSSLMODE"], job.env["PGSSLROOTCERT"]) == ("verify-full", AUTHORITY)
    assert "sslmode=verify-full" in str(encrypted["postgres-exporter"].env["DATA_SOURCE_URI"])
    assert str(encrypted["redis-cache-exporter"].env["REDIS_ADDR"]).startswith("rediss://")
    config = yaml.safe_load(text(encrypted["litellm"], "config.yaml"))
    cache = config["litellm_settings"]["cache_params"]
    assert (cache["ssl"], cache["ssl_ca_certs"]) == (True, "/etc/groundwork/redis-ca.pem")
    scrapes = {
        job["job_name"]: job
        for job in yaml.safe_load(text(encrypted["prometheus"], "prometheus.yml"))["scrape_configs"]
    }
    for name in ("minio", "litellm"):
        assert scrapes[name]["scheme"] == "https"
        assert scrapes[name]["tls_config"] == {"ca_file": AUTHORITY, "server_name": name}
    assert "scheme" not in scrapes["loki"]
    tracing = encrypted["litellm"].env
    assert tracing["OTEL_ENDPOINT"] == "https://alloy:4318/v1/traces"
    trusted = str(tracing["OTEL_EXPORTER_OTLP_CERTIFICATE"])
    assert text(encrypted["litellm"], Path(trusted).name) == OURS.certificate
    pooler = text(encrypted["pooler"], "pgbouncer.ini")
    assert "client_tls_sslmode = require" in pooler
    assert "server_tls_sslmode = verify-full" in pooler


def test_servers_take_nothing_else(encrypted: dict[str, Service]) -> None:
    hba = text(encrypted["postgres"], "pg_hba.conf").splitlines()
    lines = [line.split() for line in hba if line[0] != "#"]
    assert {line[3] for line in lines if line[0] == "host"} == {"127.0.0.1/32", "::1/128"}
    assert {line[0] for line in lines} == {"local", "hostssl", "host"}
    for name in ("redis-cache", "redis-queue"):
        assert {"port 0", "tls-port 6379"} <= set(text(encrypted[name], "redis.conf").splitlines())
    collector = text(encrypted["alloy"], "config.alloy")
    assert collector.count("tls {") == collector.count('endpoint = "0.0.0.0:') == 2


def test_without_it_no_service_has_a_certificate() -> None:
    platform = make_platform(images="packages", pooler={"enabled": True})
    found = [
        item.path
        for service in platform.services
        for item in files(service)
        if "BEGIN CERTIFICATE" in str(item.content) or Path(item.path).suffix in (".key", ".pem")
    ]
    assert found == []


@pytest.mark.parametrize(
    ("keys", "there", "missing"),
    [
        ({}, {"postgres", "127.0.0.1"}, {"db.example.org"}),
        ({"bindAddress": "10.1.2.3"}, {"10.1.2.3"}, set()),
        ({"bindAddress": "0.0.0.0"}, {"127.0.0.1"}, {"0.0.0.0"}),
        (
            {"tls": {"names": ["DB.example.org.", "fd00::5"]}},
            {"db.example.org", "fd00::5"},
            {"db.example.org."},
        ),
        (
            {"target": "kubernetes", "kubernetes": {"namespace": "shop"}},
            {"postgres.shop", "postgres.shop.svc", "postgres.shop.svc.cluster.local"},
            set(),
        ),
    ],
    ids=["by default", "bound elsewhere", "bound everywhere", "named", "in a cluster"],
)
def test_a_certificate_names_what_clients_connect_to(
    keys: dict[str, Any], there: set[str], missing: set[str]
) -> None:
    context = make_context(**keys)
    issued = context.certificate("postgres", context.settings.postgres)  # type: ignore[attr-defined]
    found = x509.load_pem_x509_certificate(issued.certificate.encode())
    alternatives = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    names = {str(item.value) for item in alternatives}
    assert there <= names
    assert not missing & names


@pytest.mark.parametrize("name", ["-a", "", "1.2.3", "a b", "https://a.org", "x" * 64])
def test_a_certificate_has_no_name_that_nobody_can_ask_for(name: str) -> None:
    with pytest.raises(ValidationError, match="neither a host name nor an IP address"):
        make_settings(tls={"names": [name]})


def test_a_service_that_runs_elsewhere_has_no_certificate_of_ours() -> None:
    external = {"host": "db.example.org", "port": 5432, "username": "u", "password": MASTER}
    settings = make_settings(postgres={"external": external, "tls": True})
    assert "groundwork:postgres.tls" in {item.key for item in validation.check(settings)}


def test_redis_takes_as_many_clients_as_its_memory_holds() -> None:
    """OpenSSL's buffers are in none of its own limits."""
    plain = make_platform(images="packages").by_name("redis-cache")
    assert "maxclients 10000" in text(plain, "redis.conf")
    found = make_platform(images="packages", redis={"tls": True}).by_name("redis-cache")
    (line,) = (line for line in text(found, "redis.conf").splitlines() if "maxclients" in line)
    assert int(line.split()[1]) * sizing.TLS_CONNECTION <= 256 * MIB // 8


@pytest.mark.parametrize(("clients", "refused"), [(100, False), (5000, True)])
def test_more_clients_than_that_are_refused(clients: int, refused: bool) -> None:
    settings = make_settings(redis={"tls": True, "queue": {"maxClients": clients}})
    found = {item.key for item in validation.check(settings)}
    assert ("groundwork:redis.queue.maxClients" in found) is refused


@pytest.fixture(scope="module")
def official() -> dict[str, Service]:
    """What packages do not have, with TLS, by name."""
    platform = make_platform(
        qdrant={"tls": True}, clickhouse={"tls": True}, grafana={"clickhouse": True}
    )
    return {service.name: service for service in platform.services}


@pytest.mark.parametrize("name", ["qdrant", "clickhouse"])
def test_official_servers_have_their_own_certificates(
    official: dict[str, Service], name: str
) -> None:
    """Their clients know the authority; their addresses say so."""
    found = {item.path: item for item in files(official[name])}
    certificate, key = found[CERTIFICATE].content, found[CERTIFICATE_KEY].content
    assert isinstance(certificate, str)
    assert isinstance(key, Secret)
    _verify(Issued(certificate, key), OURS, name)
    saved = json.loads(text(official["backup"], "backup.json"))["sources"]
    assert {item["authority"] for item in saved if item["name"] == name} == {AUTHORITY}
    assert next(port.scheme for port in official[name].ports) == "https"
    readiness = official[name].readiness
    assert readiness is not None
    assert AUTHORITY in " ".join(readiness.command)


def test_qdrant_takes_nothing_else(official: dict[str, Service]) -> None:
    config = yaml.safe_load(text(official["qdrant"], "qdrant.yaml"))
    assert config["service"]["enable_tls"] is True
    assert config["tls"] == {"cert": CERTIFICATE, "key": CERTIFICATE_KEY, "ca_cert": AUTHORITY}
    scrapes = yaml.safe_load(text(official["prometheus"], "prometheus.yml"))["scrape_configs"]
    (job,) = [item for item in scrapes if item["job_name"] == "qdrant"]
    assert (job["scheme"], job["tls_config"]["server_name"]) == ("https", "qdrant")


def test_clickhouse_takes_nothing_else(official: dict[str, Service]) -> None:
    """The plain ports of its image's configuration are closed, those of other protocols too."""
    config = yaml.safe_load(text(official["clickhouse"], "config.d/groundwork.yaml"))
    closed = {key for key, value in config.items() if key.endswith("_port") and value == _REMOVED}
    assert closed == {
        "http_port",
        "tcp_port",
        "mysql_port",
        "postgresql_port",
        "interserver_http_port",
    }
    assert (config["https_port"], config["tcp_port_secure"]) == (8123, 9000)
    assert config["openSSL"] == {
        "server": {
            "certificateFile": CERTIFICATE,
            "privateKeyFile": CERTIFICATE_KEY,
            "verificationMode": "none",
            "disableProtocols": "sslv2,sslv3,tlsv1,tlsv1_1",
            "preferServerCiphers": True,
        }
    }
    (job,) = official["clickhouse"].jobs
    client = ElementTree.fromstring(text(official["clickhouse"], "client.xml"))  # noqa: S314 - ours
    assert client.findtext("secure") == "1"
    for key, value in {
        "caConfig": AUTHORITY,
        "loadDefaultCAFile": "false",
        "verificationMode": "strict",
        "extendedVerification": "true",
        "invalidCertificateHandler/name": "RejectCertificateHandler",
    }.items():
        assert client.findtext(f"openSSL/client/{key}") == value
    assert AUTHORITY in {item.path for item in job.files}
    sources = yaml.safe_load(text(official["grafana"], "datasources/groundwork.yaml"))
    found = next(item for item in sources["datasources"] if item["uid"] == "clickhouse")
    assert (found["jsonData"]["secure"], found["jsonData"]["tlsAuthWithCACert"]) == (True, True)
    assert found["secureJsonData"]["tlsCACert"] == OURS.certificate


def test_replicas_of_qdrant_would_speak_in_plain_text() -> None:
    settings = make_settings(target="kubernetes", qdrant={"tls": True, "replicas": 3})
    assert "groundwork:qdrant.tls" in {item.key for item in validation.check(settings)}


@pytest.mark.parametrize("own", [False, True])
def test_minio_tells_of_requests_by_tls(own: bool) -> None:
    """It knows the authority even if it takes plain requests itself."""
    found = make_platform(
        images="packages", alloy={"tls": True}, minio={"audit": True, "tls": own}
    ).by_name("minio")
    assert "ENDPOINT_LOG=https://alloy:8088/" in text(found, "audit.env")
    assert text(found, "CAs/ca.crt") == OURS.certificate
    assert "--certs-dir" in found.command
    names = {Path(item.path).name for item in files(found)}
    assert ("private.key" in names) is own


@pytest.mark.parametrize("service", ["minio", "litellm"])
def test_an_ingress_is_not_put_before_what_it_cannot_ask(service: str) -> None:
    settings = make_settings(
        target="kubernetes",
        kubernetes={
            "namespace": "shop",
            "ingress": {
                "hosts": [{"service": service, "host": "x.example.org", "plainHttp": True}]
            },
        },
        **{service: {"tls": True}},
    )
    assert f"groundwork:{service}.tls" in {item.key for item in validation.check(settings)}


def test_an_operators_instances_have_certificates_of_their_own() -> None:
    settings = make_settings(target="kubernetes", postgres={"tls": True, "replicas": 3})
    found = list(postgres.DEFINITION.validate(settings))
    assert [item.key for item in found] == ["groundwork:postgres.tls"]


def test_grafana_verifies_postgres() -> None:
    platform = make_platform(postgres={"tls": True}, grafana={"enabled": True})
    sources = yaml.safe_load(text(platform.by_name("grafana"), "datasources/groundwork.yaml"))
    found = next(item for item in sources["datasources"] if item["uid"] == "postgres")
    assert found["jsonData"]["sslmode"] == "verify-full"
    assert found["secureJsonData"]["tlsCACert"] == OURS.certificate
