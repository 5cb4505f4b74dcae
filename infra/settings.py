"""One stack's configuration, typed: every key under `groundwork:` with its default and meaning.

Unknown keys are errors. `docs/configuration.md` is generated from these models.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from infra.secret import Secret
from infra.units import GIB, MIB, Duration, Size


def _to_secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("a secret is a string that is not empty; set it with `pulumi config set --secret`")
    return Secret(value)


SecretValue = Annotated[Secret, BeforeValidator(_to_secret)]
HostPort = Annotated[int, Field(ge=1, le=65535, strict=True)]
Identifier = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]


class Model(BaseModel):
    """Keys are written in camelCase, unknown ones are refused, values never change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=True,
        arbitrary_types_allowed=True, hide_input_in_errors=True,
    )  # fmt: skip


class External(Model):
    """A service that runs elsewhere and is used in place of one of ours."""

    host: str = Field(min_length=1, description="Host name or address, reachable from the containers.")
    port: HostPort = Field(description="Its port.")
    tls: bool = Field(False, description="Whether clients speak TLS to it.")
    username: str | None = Field(None, description="User that dependents log in as, where it has users.")
    password: SecretValue | None = Field(None, description="Password or key for it; set it with `--secret`.")
    database: str | None = Field(None, description="Database or bucket that dependents use, where it has any.")


class Sized(Model):
    """What every container has."""

    memory: Size
    cpus: float = Field(1, gt=0, le=256, description="Cores it may use at most.")
    secret_generation: int = Field(1, ge=1, strict=True, description="Raise by one to rotate its generated passwords.")


class ServiceSettings(Sized):
    """What every service has."""

    enabled: bool = Field(True, description="Whether it is deployed.")
    external: External | None = Field(None, description="Use a service that runs elsewhere instead; nothing of ours is deployed.")

    @property
    def deployed(self) -> bool:
        return self.enabled and self.external is None

    @property
    def usable(self) -> bool:
        return self.enabled


class Hnsw(Model):
    m: int = Field(16, ge=2, le=100, strict=True, description="Links of each node.")
    ef_construction: int = Field(64, ge=4, le=1000, strict=True, description="Candidates looked at while building.")
    ef_search: int = Field(40, ge=1, le=1000, strict=True, description="Candidates looked at by a query.")

    @model_validator(mode="after")
    def _enough_candidates(self) -> Self:
        if self.ef_construction < 2 * self.m:
            raise ValueError(f"efConstruction ({self.ef_construction}) must be at least twice m ({self.m})")
        return self


class Ivfflat(Model):
    lists: int = Field(100, ge=1, le=32768, strict=True, description="Clusters; rows / 1000 up to a million rows.")
    probes: int = Field(10, ge=1, le=32768, strict=True, description="Clusters that a query looks into.")


class Vectors(Model):
    dimensions: int = Field(1536, ge=1, le=2000, strict=True, description="Length of each vector; an index allows at most 2000.")
    index: Literal["hnsw", "ivfflat"] = Field("hnsw", description="Kind of index on `document_vectors`.")
    hnsw: Hnsw = Field(default_factory=lambda: Hnsw(), description="HNSW's numbers.")
    ivfflat: Ivfflat = Field(default_factory=lambda: Ivfflat(), description="IVFFlat's numbers.")


class Postgres(ServiceSettings):
    memory: Size = Field(GIB, ge=256 * MIB, description="Memory limit; buffers and work memory are computed from it.")
    disk: Size = Field(10 * GIB, description="Room its data may take; checked against the host, not enforced by Docker.")
    port: HostPort = Field(5432, description="Port on the host.")
    max_connections: int = Field(150, ge=20, le=5000, strict=True, description="Connections at the same time.")
    database: Identifier = Field("app", description="The application's database.")
    vectors: Vectors = Field(default_factory=lambda: Vectors(), description="The `document_vectors` table.")


class RedisInstance(Sized):
    memory: Size = Field(256 * MIB, ge=32 * MIB, description="Memory limit; `maxmemory` is 70 % of it.")
    disk: Size = Field(2 * GIB, description="Room its append-only file may take.")
    port: HostPort = Field(6379, description="Port on the host.")
    max_clients: int = Field(10000, ge=10, le=100000, strict=True, description="Connections at the same time.")


class RedisCache(RedisInstance):
    policy: Literal["allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-lfu", "volatile-ttl"] = Field(
        "allkeys-lru", description="What is evicted when the cache is full."
    )


class RedisQueue(RedisInstance):
    port: HostPort = Field(6380, description="Port on the host.")
    policy: str = Field("noeviction", description="Always `noeviction`: an evicting queue loses jobs.")


class Redis(Model):
    enabled: bool = Field(True, description="Whether it is deployed.")
    shared: bool = Field(False, description="One instance for cache and queue (never evicting), instead of two.")
    external: External | None = Field(None, description="Use a Redis that runs elsewhere, for both uses.")
    cache: RedisCache = Field(default_factory=lambda: RedisCache(), description="The evicting instance.")
    queue: RedisQueue = Field(default_factory=lambda: RedisQueue(), description="The instance for queues and pub/sub.")

    @property
    def deployed(self) -> bool:
        return self.enabled and self.external is None

    @property
    def usable(self) -> bool:
        return self.enabled


class Bucket(Model):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")] = Field(description="The bucket's name, as S3 allows it.")
    versioning: bool = Field(True, description="Keep earlier versions of objects.")
    expire_after: Duration | None = Field(None, description="Delete objects this long after they were written (whole days).")
    expire_noncurrent_after: Duration | None = Field(30 * 86400, description="Delete earlier versions after this long (whole days).")
    policy: Literal["private", "download"] = Field("private", description="`download` lets anyone read who reaches the endpoint.")

    @model_validator(mode="after")
    def _whole_days(self) -> Self:
        for name, seconds in (("expireAfter", self.expire_after), ("expireNoncurrentAfter", self.expire_noncurrent_after)):
            if seconds is not None and seconds % 86400:
                raise ValueError(f"{name} must be whole days, such as 30d: S3 lifecycle rules know nothing finer")
        return self


class Minio(ServiceSettings):
    memory: Size = Field(512 * MIB, ge=256 * MIB, description="Memory limit; the server's own limit is 80 % of it.")
    disk: Size = Field(10 * GIB, description="Room its objects may take.")
    port: HostPort = Field(9000, description="Port of the S3 endpoint on the host.")
    console_port: HostPort = Field(9001, description="Port of the web console on the host.")
    buckets: tuple[Bucket, ...] = Field((Bucket(name="documents"),), description="Buckets made at deploy; never deleted by a deploy.")


class Qdrant(ServiceSettings):
    memory: Size = Field(512 * MIB, ge=256 * MIB, description="Memory limit; low-memory mode below 1 GiB.")
    disk: Size = Field(5 * GIB, description="Room its collections and snapshots may take.")
    port: HostPort = Field(6333, description="Port of the REST endpoint on the host.")
    grpc_port: HostPort = Field(6334, description="Port of the gRPC endpoint on the host.")


class Clickhouse(ServiceSettings):
    memory: Size = Field(1536 * MIB, ge=GIB, description="Memory limit; caches and query memory are computed from it.")
    disk: Size = Field(10 * GIB, description="Room its tables may take.")
    port: HostPort = Field(8123, description="Port of the HTTP endpoint on the host.")
    native_port: HostPort = Field(9004, description="Port of the native protocol on the host.")
    database: Identifier = Field("analytics", description="The analytics database.")
    retention: Duration = Field(90 * 86400, ge=86400, description="How long raw events are kept.")
    system_log_retention: Duration = Field(7 * 86400, ge=86400, description="How long ClickHouse's own logs are kept.")


class Ollama(Model):
    url: str | None = Field(None, pattern=r"^https?://", description="Base URL; `http://host.docker.internal:11434` for one on the host.")
    model: str = Field("llama3.2", description="Model it serves.")


class Provider(Model):
    api_key: SecretValue | None = Field(None, description="Key; set it with `--secret`. Without one the provider is left out.")
    model: str = Field(description="Model asked for.")
    base_url: str | None = Field(None, pattern=r"^https?://", description="Another endpoint that speaks the same protocol.")


class OpenRouter(Provider):
    model: str = Field("meta-llama/llama-3.3-70b-instruct", description="Model asked for.")


class OpenAI(Provider):
    model: str = Field("gpt-4o-mini", description="Model asked for.")


class Anthropic(Provider):
    model: str = Field("claude-3-5-haiku-latest", description="Model asked for.")


class Providers(Model):
    """In the order in which they are tried."""

    ollama: Ollama = Field(default_factory=lambda: Ollama(), description="Local models, tried first.")
    openrouter: OpenRouter = Field(default_factory=lambda: OpenRouter(), description="Tried second.")
    openai: OpenAI = Field(default_factory=lambda: OpenAI(), description="Tried third.")
    anthropic: Anthropic = Field(default_factory=lambda: Anthropic(), description="Tried last.")


class Litellm(ServiceSettings):
    memory: Size = Field(GIB, ge=512 * MIB, description="Memory limit.")
    cpus: float = Field(2, gt=0, le=256, description="Cores it may use at most.")
    port: HostPort = Field(4000, description="Port of the OpenAI-compatible endpoint on the host.")
    model_name: str = Field("default", min_length=1, description="Model name that applications ask for.")
    daily_budget_usd: float = Field(2.0, gt=0, description="Spend per day, in US dollars, after which requests are refused.")
    providers: Providers = Field(default_factory=lambda: Providers(), description="The chain of providers.")


class ScrapeTarget(Model):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")] = Field(description="Value of the `job` label.")
    address: str = Field(pattern=r"^[A-Za-z0-9._-]+:\d{1,5}$", description="`host:port`; `host.docker.internal:3000` for one on the host.")
    path: str = Field("/api/metrics", pattern=r"^/", description="Path of the metrics.")
    tls: bool = Field(False, description="Whether it is scraped over HTTPS.")


class Prometheus(ServiceSettings):
    memory: Size = Field(512 * MIB, ge=128 * MIB, description="Memory limit.")
    disk: Size = Field(5 * GIB, ge=GIB, description="Room its series may take; the oldest go at 80 % of it.")
    port: HostPort = Field(9090, description="Port on the host.")
    retention: Duration = Field(15 * 86400, ge=3600, description="How long series are kept.")
    scrape_interval: Duration = Field(15, ge=1, description="Time between two scrapes.")
    targets: tuple[ScrapeTarget, ...] = Field((), description="The application's own metrics.")


class Grafana(ServiceSettings):
    memory: Size = Field(256 * MIB, ge=128 * MIB, description="Memory limit.")
    disk: Size = Field(GIB, description="Room its database may take.")
    port: HostPort = Field(3001, description="Port on the host.")


class Exporter(Sized):
    enabled: bool = Field(True, description="Whether it is deployed.")
    memory: Size = Field(64 * MIB, ge=16 * MIB, description="Memory limit.")
    cpus: float = Field(0.25, gt=0, le=256, description="Cores it may use at most.")


class Exporters(Model):
    node: Exporter = Field(default_factory=lambda: Exporter(), description="The host's metrics.")
    postgres: Exporter = Field(default_factory=lambda: Exporter(), description="Postgres' metrics.")
    redis: Exporter = Field(default_factory=lambda: Exporter(), description="Each Redis instance's metrics.")


class Settings(Model):
    """The configuration of one stack."""

    target: Literal["docker"] = Field("docker", description="Where the services run.")
    images: Annotated[str, Field(pattern=r"^(registry|packages|[a-z0-9][a-z0-9._-]*(:\d+)?(/[a-z0-9._-]+)*)$")] = Field(
        "registry", description="`registry` (official images by digest), `packages` (built here from distribution packages), or a mirror's prefix such as `mirror.example.org:5000/groundwork`."
    )  # fmt: skip
    master_secret: SecretValue = Field(description="All other secrets derive from it. `make up` generates it once.")
    instance: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{3,11}$")] = Field(description="Tells this stack's resources from another clone's. `make up` generates it once.")
    bind_address: str = Field("127.0.0.1", pattern=r"^\d{1,3}(\.\d{1,3}){3}$", description="Address that ports are published on. Published ports bypass host firewalls.")
    port_offset: int = Field(0, ge=0, le=50000, strict=True, description="Added to every port on the host, for a second stack on one machine.")
    protect: bool = Field(False, description="Refuse to delete volumes even when the stack is destroyed.")
    postgres: Postgres = Field(default_factory=lambda: Postgres(), description="Postgres with pgvector.")
    redis: Redis = Field(default_factory=lambda: Redis(), description="Redis for cache, queues and pub/sub.")
    minio: Minio = Field(default_factory=lambda: Minio(), description="S3-compatible object storage.")
    qdrant: Qdrant = Field(default_factory=lambda: Qdrant(), description="Vector database.")
    clickhouse: Clickhouse = Field(default_factory=lambda: Clickhouse(), description="Analytics database.")
    litellm: Litellm = Field(default_factory=lambda: Litellm(), description="One endpoint over a chain of model providers.")
    prometheus: Prometheus = Field(default_factory=lambda: Prometheus(), description="Metrics.")
    grafana: Grafana = Field(default_factory=lambda: Grafana(), description="Dashboards.")
    exporters: Exporters = Field(default_factory=lambda: Exporters(), description="What turns services' and the host's state into metrics.")

    @property
    def mirror(self) -> str | None:
        """The mirror's prefix, or None for the two named sources."""
        return None if self.images in ("registry", "packages") else self.images
