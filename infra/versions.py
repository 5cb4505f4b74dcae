"""Every image and version, pinned in one place.

Digests of the official images were gathered from public files in November 2026; versions of
Debian packages are those of Debian 13 (trixie) and its security updates at the same time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

DEBIAN_RELEASE = "trixie"


@dataclass(frozen=True, slots=True, kw_only=True)
class Official:
    """An image in a public registry."""

    repository: str
    tag: str
    digest: str
    version: str

    @property
    def reference(self) -> str:
        """`repository:tag@sha256:digest`."""
        return f"{self.repository}:{self.tag}@sha256:{self.digest}"

    def mirrored(self, prefix: str) -> str:
        """The same digest under a mirror's prefix: the registry's host is replaced, the path is
        kept.

        `docker.io/prom/prometheus:v3` becomes `<prefix>/prom/prometheus:v3`.
        """
        _, _, path = self.repository.partition("/")
        return f"{prefix}/{path}:{self.tag}@sha256:{self.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """An image built here: a folder under `images/` and its build arguments.

    `on` names the official image that it is built on where official images are used, because no
    public one has what it has; a recipe without it is for packages only.
    """

    folder: str
    version: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    go_tool: str | None = None
    on: str | None = None


OFFICIAL: Mapping[str, Official] = {
    "postgres": Official(
        repository="docker.io/pgvector/pgvector",
        tag="0.8.7-pg18-trixie",
        version="18",
        digest="9d9c930220cb9bf2f956d10a8f909cf9973d9672ca0278aef2c1e6facccad2e0",
    ),
    # The operand of CloudNativePG, with pgvector in it, for more than one instance.
    "postgres-cluster": Official(
        repository="ghcr.io/cloudnative-pg/postgresql",
        tag="18.4-standard-trixie",
        version="18",
        digest="f0cc49632b5cc1e51f65ba03658c89bd31d64ea2672b14843a808a8d281417e1",
    ),
    "redis": Official(
        repository="docker.io/library/redis",
        tag="8.10.2-alpine",
        version="8.10.2",
        digest="3811787313eba226a2ef38658c6ccb91cd5e110edc89c37767de373120a0e5a0",
    ),
    "minio": Official(
        repository="docker.io/pgsty/silo",
        tag="RELEASE.2026-09-16T00-00-00Z",
        version="2026.09.16",
        digest="635197cb9f36d01bee221d34d1c7d7960f6a95c48b0b6c01d99cd13bdae51a46",
    ),
    "qdrant": Official(
        repository="docker.io/qdrant/qdrant",
        tag="v1.19.1-unprivileged",
        version="1.19.1",
        digest="801777072776dc81b2a9dd2007b2ed487571f21ecd30efffd15ddb1671f2193d",
    ),
    "clickhouse": Official(
        repository="docker.io/clickhouse/clickhouse-server",
        tag="26.3.33.24",
        version="26.3.33",
        digest="810861a2e2d0188744f5f23b2d3ec9ff95812bcb9ddbb8fed13a377a7f305893",
    ),
    "litellm": Official(
        repository="docker.io/litellm/litellm-non_root",
        tag="v1.104.2",
        version="1.104.2",
        digest="e8dee87e7ddbf9abc174e8a7b180a690d5265cc4827458d22c5ff5e108170027",
    ),
    "prometheus": Official(
        repository="docker.io/prom/prometheus",
        tag="v3.15.0",
        version="3.15.0",
        digest="efd719c99d83b060d9daefdcf00360461adf279f45ef5391f8d111892118753e",
    ),
    "grafana": Official(
        repository="docker.io/grafana/grafana",
        tag="13.2.3",
        version="13.2.3",
        digest="b28bae15e219c998fb0e0424ed724930cc61b1f61fb404d47c862f9a23f9e572",
    ),
    "alertmanager": Official(
        repository="docker.io/prom/alertmanager",
        tag="v0.34.1",
        version="0.34.1",
        digest="e9733bafb1bdef9b00e25a21f8f99dc26a22224bf16641ad754d1649f4c3357a",
    ),
    "loki": Official(
        repository="docker.io/grafana/loki",
        tag="3.7.8",
        version="3.7.8",
        digest="1107dd5274e0ada47e42472b7a7e71f3b2a2fe878878108f3e2f9e51528f0193",
    ),
    "tempo": Official(
        repository="docker.io/grafana/tempo",
        tag="3.1.0",
        version="3.1.0",
        digest="3076b8dcdfb32fd6bc5ccef85e7b7313e6199b9cb84366257fc17ecb696db5fd",
    ),
    "alloy": Official(
        repository="docker.io/grafana/alloy",
        tag="v1.20.1",
        version="1.20.1",
        digest="2aa2099af76c0098d4af7a4d6e48f86cb66dc1a000222ad927a1c67c6542d13f",
    ),
    "cadvisor": Official(
        repository="ghcr.io/google/cadvisor",
        tag="v0.60.6",
        version="0.60.6",
        digest="b8e7d1093144fd088f425ff003d75a4aa405de075db78dae3bc563730b1bd07a",
    ),
    # HAProxy; the configuration is Groundwork's own.
    "socket-proxy": Official(
        repository="ghcr.io/tecnativa/docker-socket-proxy",
        tag="v0.4.2",
        version="0.4.2",
        digest="1f3a6f303320723d199d2316a3e82b2e2685d86c275d5e3deeaf182573b47476",
    ),
    "node-exporter": Official(
        repository="docker.io/prom/node-exporter",
        tag="v1.12.1",
        version="1.12.1",
        digest="1b4e4438faca4dd7e001dd445d161a4a2091b0fededa84093b3a8dfeae1f1be0",
    ),
    "postgres-exporter": Official(
        repository="quay.io/prometheuscommunity/postgres-exporter",
        tag="v0.20.1",
        version="0.20.1",
        digest="ac5ec343104fae0e2d84a27bb8d69b38430a11910c5382cad85d478d2bab713e",
    ),
    "redis-exporter": Official(
        repository="docker.io/oliver006/redis_exporter",
        tag="v1.91.1",
        version="1.91.1",
        digest="c67a432dba6b4ae30f471e3c77cf14a289133bbeeb89abb0bb03e6092efb2836",
    ),
}

RECIPES: Mapping[str, Recipe] = {
    "postgres": Recipe(
        folder="postgres",
        version="17.12",
        arguments={"POSTGRES_VERSION": "17.12-0+deb13u1", "PGVECTOR_VERSION": "0.8.0-1"},
    ),
    "redis": Recipe(
        folder="redis", version="8.0.2", arguments={"REDIS_VERSION": "5:8.0.2-3+deb13u3"}
    ),
    "minio": Recipe(
        folder="minio",
        version="2026.02.12",
        go_tool="minio",
        arguments={"MINIO_CLIENT_VERSION": "0.0~20250403-3+b3"},
    ),
    "litellm": Recipe(
        folder="litellm", version="1.104.2", arguments={"PYTHON_VERSION": "3.13.5-1"}
    ),
    "backup": Recipe(
        folder="backup",
        version="0.18.0",
        on="postgres",
        arguments={
            "PYTHON_VERSION": "3.13.5-1",
            "POSTGRES_VERSION": "17.12-0+deb13u1",
            "REDIS_VERSION": "5:8.0.2-3+deb13u3",
            "RESTIC_VERSION": "0.18.0-1+b4",
        },
    ),
    "pooler": Recipe(
        folder="pooler",
        version="1.24.1",
        on="postgres",
        arguments={"PGBOUNCER_VERSION": "1.24.1-1+deb13u2"},
    ),
    "prometheus": Recipe(
        folder="prometheus", version="2.53.3", arguments={"PROMETHEUS_VERSION": "2.53.3+ds1-2"}
    ),
    "alertmanager": Recipe(
        folder="alertmanager", version="0.28.1", arguments={"ALERTMANAGER_VERSION": "0.28.1+ds-1"}
    ),
    "loki": Recipe(folder="loki", version="3.7.8", go_tool="loki"),
    "alloy": Recipe(folder="alloy", version="1.19.0", go_tool="alloy"),
    "tempo": Recipe(folder="tempo", version="2.9.0", go_tool="tempo"),
    "cadvisor": Recipe(folder="cadvisor", version="0.60.6", go_tool="cadvisor"),
    "socket-proxy": Recipe(
        folder="haproxy", version="3.0.11", arguments={"HAPROXY_VERSION": "3.0.11-1+deb13u5"}
    ),
    "node-exporter": Recipe(
        folder="exporter",
        version="1.9.0",
        arguments={
            "PACKAGE": "prometheus-node-exporter",
            "PACKAGE_VERSION": "1.9.0-1+b4",
            "BINARY": "node_exporter",
        },
    ),
    "postgres-exporter": Recipe(
        folder="exporter",
        version="0.17.1",
        arguments={
            "PACKAGE": "prometheus-postgres-exporter",
            "PACKAGE_VERSION": "0.17.1-1+b4",
            "BINARY": "postgres_exporter",
        },
    ),
    "redis-exporter": Recipe(
        folder="exporter",
        version="1.69.0",
        arguments={
            "PACKAGE": "prometheus-redis-exporter",
            "PACKAGE_VERSION": "1.69.0-1",
            "BINARY": "redis_exporter",
        },
    ),
}

NO_PACKAGE: Mapping[str, str] = {
    "postgres-cluster": (
        "CloudNativePG runs only its own images; set groundwork:images to registry or to a mirror"
    ),
    "qdrant": "no distribution packages Qdrant; set groundwork:images to registry or to a mirror",
    "clickhouse": (
        "Debian's ClickHouse dates from 2018, and there is no other package; set"
        " groundwork:images to registry or to a mirror"
    ),
    "grafana": (
        "no distribution packages Grafana; set groundwork:images to registry or to a mirror"
    ),
}
"""Services that are not available from packages, with the reason shown in the summary."""
