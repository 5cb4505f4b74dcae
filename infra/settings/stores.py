"""Settings of what keeps data."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from infra.settings.common import HostPort, Identifier, Model, Rotatable, ServiceSettings, Sized, Switchable
from infra.units import GIB, MIB, Days, Size


class Hnsw(Model):
    """Numbers of an HNSW index (hierarchical navigable small worlds)."""

    m: int = Field(16, ge=2, le=100, strict=True, description="Links of each node.")
    ef_construction: int = Field(64, ge=4, le=1000, strict=True, description="Candidates looked at while building.")
    ef_search: int = Field(40, ge=1, le=1000, strict=True, description="Candidates looked at by a query.")

    @model_validator(mode="after")
    def _enough_candidates(self) -> Self:
        if self.ef_construction < 2 * self.m:
            raise ValueError(f"efConstruction ({self.ef_construction}) must be at least twice m ({self.m})")
        return self


class Ivfflat(Model):
    """Numbers of an IVFFlat index (inverted lists)."""

    lists: int = Field(100, ge=1, le=32768, strict=True, description="Clusters; rows / 1000 up to a million rows.")
    probes: int = Field(10, ge=1, le=32768, strict=True, description="Clusters that a query looks into.")


class Vectors(Model):
    """The `document_vectors` table."""

    dimensions: int = Field(1536, ge=1, le=2000, strict=True, description="Length of each vector; an index allows at most 2000.")
    index: Literal["hnsw", "ivfflat"] = Field("hnsw", description="Kind of index on `document_vectors`.")
    hnsw: Hnsw = Field(default_factory=Hnsw, description="HNSW's numbers.")
    ivfflat: Ivfflat = Field(default_factory=Ivfflat, description="IVFFlat's numbers.")


class Postgres(ServiceSettings):
    """Postgres with pgvector."""

    memory: Size = Field(GIB, ge=256 * MIB, description="Memory limit; buffers and work memory are computed from it.")
    disk: Size = Field(10 * GIB, description="Room its data may take; checked against the host, not enforced by Docker.")
    port: HostPort = Field(5432, description="Port on the host.")
    max_connections: int = Field(150, ge=20, le=5000, strict=True, description="Connections at the same time.")
    database: Identifier = Field("app", description="The application's database.")
    vectors: Vectors = Field(default_factory=Vectors, description="The `document_vectors` table.")


class RedisInstance(Sized, Rotatable):
    """What both Redis instances have."""

    replicas: int = Field(1, ge=1, le=100, strict=True, description="Always 1: a Redis with copies is a managed one, under groundwork:redis.external.")
    memory: Size = Field(256 * MIB, ge=32 * MIB, description="Memory limit; `maxmemory` is 70 % of it.")
    disk: Size = Field(2 * GIB, description="Room its append-only file may take.")
    port: HostPort = Field(6379, description="Port on the host.")
    max_clients: int = Field(10000, ge=10, le=100000, strict=True, description="Connections at the same time.")


class RedisCache(RedisInstance):
    """The evicting instance."""

    policy: Literal["allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-lfu", "volatile-ttl"] = Field(
        "allkeys-lru", description="What is evicted when the cache is full."
    )


class RedisQueue(RedisInstance):
    """The instance that never evicts."""

    port: HostPort = Field(6380, description="Port on the host.")
    policy: str = Field("noeviction", description="Always `noeviction`: an evicting queue loses jobs.")


class Redis(Switchable):
    """Redis for cache, queues and pub/sub."""

    shared: bool = Field(False, description="One instance for cache and queue (never evicting), instead of two.")
    cache: RedisCache = Field(default_factory=RedisCache, description="The evicting instance.")
    queue: RedisQueue = Field(default_factory=RedisQueue, description="The instance for queues and pub/sub.")


class Bucket(Model):
    """One S3 bucket."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9]|[.-][a-z0-9]){2,62}$", max_length=63)] = Field(description="The bucket's name, as S3 allows it.")
    versioning: bool = Field(True, description="Keep earlier versions of objects.")
    expire_after: Days | None = Field(None, description="Delete objects this long after they were written (whole days).")
    expire_noncurrent_after: Days | None = Field(30 * 86400, description="Delete earlier versions after this long (whole days).")
    policy: Literal["private", "download"] = Field("private", description="`download` lets anyone read who reaches the endpoint.")


class Minio(ServiceSettings):
    """S3-compatible object storage."""

    memory: Size = Field(512 * MIB, ge=256 * MIB, description="Memory limit; the server's own limit is 80 % of it.")
    disk: Size = Field(10 * GIB, description="Room its objects may take.")
    port: HostPort = Field(9000, description="Port of the S3 endpoint on the host.")
    console_port: HostPort = Field(9001, description="Port of the web console on the host.")
    buckets: tuple[Bucket, ...] = Field((Bucket(name="documents"),), description="Buckets made at deploy; never deleted by a deploy.")


class Qdrant(ServiceSettings):
    """Vector database."""

    memory: Size = Field(512 * MIB, ge=256 * MIB, description="Memory limit; low-memory mode below 1 GiB.")
    disk: Size = Field(5 * GIB, description="Room its collections and snapshots may take.")
    port: HostPort = Field(6333, description="Port of the REST endpoint on the host.")
    grpc_port: HostPort = Field(6334, description="Port of the gRPC endpoint on the host.")


class Clickhouse(ServiceSettings):
    """Analytics database."""

    memory: Size = Field(1536 * MIB, ge=GIB, description="Memory limit; caches and query memory are computed from it.")
    disk: Size = Field(10 * GIB, description="Room its tables may take.")
    port: HostPort = Field(8123, description="Port of the HTTP endpoint on the host.")
    native_port: HostPort = Field(9004, description="Port of the native protocol on the host.")
    database: Identifier = Field("analytics", description="The analytics database.")
    retention: Days = Field(90 * 86400, description="How long raw events are kept.")
    system_log_retention: Days = Field(7 * 86400, description="How long ClickHouse's own logs are kept.")
