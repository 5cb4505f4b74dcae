"""Settings of the stores."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from infra.settings.common import (
    Because,
    Disk,
    Encryptable,
    Flag,
    HostPort,
    LogLevel,
    Memory,
    Model,
    Replicas,
    Rotatable,
    ServiceSettings,
    Sized,
    Switchable,
    least_logged,
)
from infra.settings.text import AnalyticsDatabase, BucketName, Database
from infra.units import GIB, MIB, Days

_DAY = 86400
_PGVECTOR = Because("pgvector accepts no other value")
# A TTL is computed in 32-bit seconds, which end in 2106, and a wrapped one deletes every row at
# once (ClickHouse#101763).
_TTL = Because(
    "ClickHouse computes expiry in 32-bit seconds, which end in 2106, and deletes every row whose"
    " expiry wraps; the maximum is twenty years (7300d)"
)
_LIFECYCLE = Because("S3 counts whole days, and a hundred years (36500d) is as good as forever")


class Hnsw(Model):
    """Parameters of an HNSW index (hierarchical navigable small worlds)."""

    m: Annotated[int, Field(strict=True, ge=2, le=100), _PGVECTOR] = Field(
        16, description="Links per node."
    )
    ef_construction: Annotated[int, Field(strict=True, ge=4, le=1000), _PGVECTOR] = Field(
        64, description="Candidates considered while building the index."
    )
    ef_search: Annotated[int, Field(strict=True, ge=1, le=1000), _PGVECTOR] = Field(
        40, description="Candidates considered per query."
    )

    @model_validator(mode="after")
    def _enough_candidates(self) -> Self:
        if self.ef_construction < 2 * self.m:
            raise ValueError(
                f"efConstruction ({self.ef_construction}) must be at least twice m ({self.m})"
            )
        return self


class Ivfflat(Model):
    """Parameters of an IVFFlat index (inverted lists)."""

    lists: Annotated[int, Field(strict=True, ge=1, le=32768), _PGVECTOR] | None = Field(
        None,
        description=(
            "Number of clusters; if not set, a thousandth of the rows, or their square root from"
            " a million rows on."
        ),
    )
    probes: Annotated[int, Field(strict=True, ge=1, le=32768), _PGVECTOR] = Field(
        10, description="Clusters searched per query."
    )

    @model_validator(mode="after")
    def _no_more_probes_than_lists(self) -> Self:
        if self.lists is not None and self.probes > self.lists:
            raise ValueError(
                f"probes ({self.probes}) must be at most lists ({self.lists}): there are no more"
                " clusters to search"
            )
        return self


class Vectors(Model):
    """The `document_vectors` table."""

    dimensions: Annotated[
        int,
        Field(strict=True, ge=1, le=2000),
        Because("pgvector indexes vectors of at most 2000 dimensions"),
    ] = Field(1536, description="Length of each vector.")
    index: Literal["hnsw", "ivfflat"] = Field(
        "hnsw", description="Type of the index on `document_vectors`."
    )
    hnsw: Hnsw = Field(default_factory=Hnsw, description="HNSW parameters.")
    ivfflat: Ivfflat = Field(default_factory=Ivfflat, description="IVFFlat parameters.")


class Postgres(ServiceSettings, Encryptable):
    """Postgres with pgvector."""

    memory: Memory = Field(
        GIB, ge=256 * MIB, description="Memory limit; buffers and work memory are computed from it."
    )
    disk: Disk = Field(
        10 * GIB,
        description="Disk space for its data; checked against the host, not enforced by Docker.",
    )
    port: HostPort = Field(5432, description="Port on the host.")
    max_connections: Annotated[
        int,
        Field(strict=True, ge=20, le=5000),
        Because(
            "Groundwork's own clients need some, and beyond 5000 a pooler is faster than more"
            " connections"
        ),
    ] = Field(150, description="Maximum number of concurrent connections.")
    database: Database = Field("app", description="The application's database.")
    shadow_database: Flag = Field(
        False,
        description=(
            "Whether each application gets a second, empty database, which tools such as Prisma"
            " Migrate need while migrations are developed."
        ),
    )
    log_level: LogLevel = least_logged("warn")
    audit: Literal["off", "connections", "ddl", "writes"] = Field(
        "off",
        description=(
            "What the log tells of its users: who connects; also statements that change roles,"
            " tables and rights; also those that write."
        ),
    )
    vectors: Vectors = Field(default_factory=Vectors, description="The `document_vectors` table.")


class RedisInstance(Sized, Rotatable):
    """Settings of a Redis instance."""

    replicas: Replicas = Field(
        1,
        description=(
            "Always 1; for a replicated Redis, use a managed service (groundwork:redis.external)."
        ),
    )
    memory: Memory = Field(
        256 * MIB,
        ge=32 * MIB,
        description="Memory limit; `maxmemory` is half of it, and clients get at most a quarter.",
    )
    log_level: LogLevel = least_logged("info")
    disk: Disk = Field(2 * GIB, description="Disk space for its append-only file.")
    port: HostPort = Field(6379, description="Port on the host.")
    max_clients: Annotated[
        int,
        Field(strict=True, ge=10, le=100_000),
        Because("Groundwork's own clients need some, and each holds a descriptor and memory"),
    ] = Field(
        10000,
        description=(
            "Maximum number of concurrent connections; with TLS no more than an eighth of the"
            " memory holds, at 48 KiB each."
        ),
    )


class RedisCache(RedisInstance):
    """The evicting instance."""

    policy: Literal[
        "allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-lfu", "volatile-ttl"
    ] = Field("allkeys-lru", description="Eviction policy when the cache is full.")


class RedisQueue(RedisInstance):
    """The instance that never evicts."""

    port: HostPort = Field(6380, description="Port on the host.")
    policy: str = Field(
        "noeviction", description="Always `noeviction`: an evicting queue loses jobs."
    )


class Redis(Switchable, Encryptable):
    """Redis for cache, queues and pub/sub."""

    shared: Flag = Field(
        False, description="One instance for cache and queue (never evicting), instead of two."
    )
    cache: RedisCache = Field(default_factory=RedisCache, description="The evicting instance.")
    queue: RedisQueue = Field(
        default_factory=RedisQueue, description="The instance for queues and pub/sub."
    )


class Bucket(Model):
    """One S3 bucket."""

    name: BucketName = Field(description="Bucket name, following S3's rules.")
    versioning: Flag = Field(True, description="Keep earlier versions of objects.")
    expire_after: Annotated[Days, Field(le=36500 * _DAY), _LIFECYCLE] | None = Field(
        None, description="Delete objects this long after they were written (whole days)."
    )
    expire_noncurrent_after: Annotated[Days, Field(le=36500 * _DAY), _LIFECYCLE] | None = Field(
        30 * _DAY, description="Delete earlier versions after this long (whole days)."
    )
    policy: Literal["private", "download"] = Field(
        "private", description="`download` lets anyone who can reach the endpoint read objects."
    )


class Minio(ServiceSettings, Encryptable):
    """S3-compatible object storage."""

    memory: Memory = Field(
        512 * MIB, ge=256 * MIB, description="Memory limit; the server's own limit is 80 % of it."
    )
    disk: Disk = Field(10 * GIB, description="Disk space for its objects.")
    port: HostPort = Field(9000, description="Port of the S3 endpoint on the host.")
    console_port: HostPort = Field(9001, description="Port of the web console on the host.")
    buckets: tuple[Bucket, ...] = Field(
        (Bucket(name="documents"),),
        description="Buckets created by a deploy; a deploy never deletes any.",
    )
    audit: Flag = Field(
        False,
        description="Whether each request is kept as a log line: who, what, which object, outcome.",
    )


class Qdrant(ServiceSettings, Encryptable):
    """Vector database."""

    memory: Memory = Field(
        512 * MIB, ge=256 * MIB, description="Memory limit; low-memory mode below 1 GiB."
    )
    disk: Disk = Field(5 * GIB, description="Disk space for its collections and snapshots.")
    port: HostPort = Field(6333, description="Port of the REST endpoint on the host.")
    grpc_port: HostPort = Field(6334, description="Port of the gRPC endpoint on the host.")
    log_level: LogLevel = least_logged("info")


class Clickhouse(ServiceSettings, Encryptable):
    """Analytics database."""

    memory: Memory = Field(
        1536 * MIB,
        ge=GIB,
        description="Memory limit; caches and query memory are computed from it.",
    )
    disk: Disk = Field(10 * GIB, description="Disk space for its tables.")
    port: HostPort = Field(8123, description="Port of the HTTP endpoint on the host.")
    native_port: HostPort = Field(9004, description="Port of the native protocol on the host.")
    database: AnalyticsDatabase = Field("analytics", description="The analytics database.")
    retention: Annotated[Days, Field(le=7300 * _DAY), _TTL] = Field(
        90 * _DAY, description="How long raw events are kept."
    )
    aggregate_retention: Annotated[Days, Field(le=7300 * _DAY), _TTL] = Field(
        730 * _DAY, description="How long events by the hour are kept."
    )
    system_log_retention: Annotated[
        Days,
        Field(le=3650 * _DAY),
        Because("the server's own logs outgrow the data; the maximum is ten years (3650d)"),
    ] = Field(7 * _DAY, description="How long ClickHouse's own logs are kept.")
    log_level: LogLevel = least_logged("info")
