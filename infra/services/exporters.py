"""Exporters, which turn the state of the host, Postgres and Redis into metrics."""

import json
from collections.abc import Iterator

from infra.secret import Secret
from infra.services import postgres, redis
from infra.services.context import AUTHORITY, OBSERVABILITY_NETWORK, Context, limits, trust
from infra.services.definition import Definition, Stage
from infra.settings.observability import Exporters
from infra.settings.stores import Postgres, Redis
from infra.spec import CONFIG_DIR, SOCKETS_DIR, Endpoint, File, HealthCheck, Logs, Metrics, Service
from infra.templating import render

SOCKET_PROXY = "socket-proxy"
_SOCKET_PORT = 2375
# With or without the version of the API before it.
_READ_OF_THE_ENGINE = (
    "^(/v[0-9.]+)?/(_ping|info|version|events|images/json"
    "|containers/json|containers/[A-Za-z0-9_.-]+/json)$"
)
# containerd's socket, filtered: in the proxy's folder of sockets.
_CONTAINERD = f"{SOCKETS_DIR}/{SOCKET_PROXY}/containerd.sock"
_PASSWORD = f"{CONFIG_DIR}/password"


def build(context: Context) -> Iterator[Service]:
    """The enabled exporters that have something to watch."""
    exporters = context.settings.of(Exporters)
    if exporters.containers.enabled and not context.runtime.kubelets:
        yield _socket_proxy(context)
        yield _containers(context)
    if exporters.node.enabled:
        yield _node(context)
    if exporters.postgres.enabled and context.settings.of(Postgres).usable:
        yield _postgres(context)
    if exporters.redis.enabled and context.settings.of(Redis).usable:
        if context.settings.of(Redis).external:
            yield _redis(context, "redis", redis.endpoint(context, "cache", "monitoring"))
        for name in redis.names(context):
            use: redis.Use = "cache" if name == "redis-cache" else "queue"
            yield _redis(context, name, redis.endpoint(context, use, "monitoring"))


def _wget(url: str) -> HealthCheck:
    return HealthCheck(command=("wget", "-q", "-O", "/dev/null", url), interval=5)


def _socket_proxy(context: Context) -> Service:
    """The one process with access to the sockets of the engine and of containerd, which are root
    access to the host. Only cAdvisor joins its network and mounts its folder of sockets.
    """
    return Service(
        name=SOCKET_PROXY,
        settings=("exporters", "socket_proxy"),
        kind="socket-proxy",
        image=context.image(SOCKET_PROXY),
        limits=limits(context.settings.of(Exporters).socket_proxy),
        # The socket's owner; it keeps none of root's powers.
        user="0:0",
        entrypoint=("haproxy",),
        command=("-db", "-f", f"{CONFIG_DIR}/haproxy.cfg"),
        files=(
            File(
                path=f"{CONFIG_DIR}/haproxy.cfg",
                content=render(
                    "socket-proxy/haproxy.cfg.j2",
                    port=_SOCKET_PORT,
                    known=_READ_OF_THE_ENGINE,
                    containerd=_CONTAINERD,
                ),
            ),
        ),
        serves_sockets=True,
        # The second one only where containerd stores the images.
        binds={
            "/var/run/docker.sock": "/var/run/docker.sock",
            "/run/containerd/containerd.sock": "/run/containerd/containerd.sock",
        },
        readiness=_wget(f"http://127.0.0.1:{_SOCKET_PORT}/_ping"),
    )


def _containers(context: Context) -> Service:
    return Service(
        name="cadvisor",
        settings=("exporters", "containers"),
        kind="containers",
        image=context.image("cadvisor"),
        limits=limits(context.settings.of(Exporters).containers),
        # It reads OOM kills from /dev/kmsg, which needs root and CAP_SYSLOG, and nothing else of
        # root's. It reaches the engine through the proxy only, and sees no files of the host but
        # the kernel's.
        user="0:0",
        capabilities=("SYSLOG",),
        devices=("/dev/kmsg",),
        entrypoint=("/usr/bin/cadvisor",),
        command=(
            "--port=8080",
            f"--docker=tcp://{SOCKET_PROXY}:{_SOCKET_PORT}",
            f"--containerd={_CONTAINERD}",
            "--docker_only",
            "--store_container_labels=false",
            "--whitelisted_container_labels=groundwork.service,groundwork.instance,groundwork.job",
            "--enable_metrics=cpu,memory,network,oom_event,diskIO",
            "--housekeeping_interval=10s",
        ),
        # Where the engine stores images itself, cAdvisor asks for the names of their layers; where
        # containerd does, for a container's description.
        sockets_of=SOCKET_PROXY,
        binds={
            "/proc": "/rootfs/proc",
            "/sys": "/sys",
            "/var/lib/docker/image": "/rootfs/var/lib/docker/image",
        },
        depends_on=(SOCKET_PROXY,),
        network=OBSERVABILITY_NETWORK,
        readiness=_wget("http://127.0.0.1:8080/healthz"),
        metrics=(Metrics(port=8080),),
    )


def _node(context: Context) -> Service:
    return Service(
        name="node-exporter",
        settings=("exporters", "node"),
        kind="exporter",
        image=context.image("node-exporter"),
        limits=limits(context.settings.of(Exporters).node),
        user="65534:65534",
        entrypoint=("node_exporter",),
        command=(
            "--path.rootfs=/host",
            "--no-collector.systemd",
            "--web.listen-address=:9100",
            "--collector.filesystem.mount-points-exclude="
            "^/(dev|proc|run|sys|var/lib/docker/.+)($|/)",
        ),
        binds={"/": "/host"},
        host_pid=True,
        per_node=True,
        network=OBSERVABILITY_NETWORK,
        readiness=_wget("http://127.0.0.1:9100/"),
        metrics=(Metrics(port=9100),),
        logs=Logs(format="logfmt"),
    )


def _postgres(context: Context) -> Service:
    at = postgres.endpoint(context, "monitoring")
    return Service(
        name="postgres-exporter",
        settings=("exporters", "postgres"),
        kind="exporter",
        image=context.image("postgres-exporter"),
        limits=limits(context.settings.of(Exporters).postgres),
        user="65534:0",
        entrypoint=("postgres_exporter",),
        command=("--collector.stat_statements", "--no-collector.wal"),
        env={
            "DATA_SOURCE_URI": f"{at.host}:{at.port}/{at.database or 'postgres'}?{_tls(at)}",
            "DATA_SOURCE_USER": at.username or "postgres",
            "DATA_SOURCE_PASS_FILE": _PASSWORD,
        },
        files=(File(path=_PASSWORD, content=at.password or Secret("")), *trust(at)),
        connects_to=(at.network,) if at.network else (),
        reaches_out=at.network is None,
        host_gateway=at.network is None,
        network=OBSERVABILITY_NETWORK,
        readiness=_wget("http://127.0.0.1:9187/"),
        metrics=(Metrics(port=9187, of="postgres"),),
        logs=Logs(format="logfmt"),
    )


def _tls(at: Endpoint) -> str:
    if not at.tls:
        return "sslmode=disable"
    return f"sslmode=verify-full&sslrootcert={AUTHORITY}" if at.authority else "sslmode=verify-full"


def _redis(context: Context, name: str, at: Endpoint) -> Service:
    image = context.image("redis-exporter")
    address = f"{'rediss' if at.tls else 'redis'}://{at.host}:{at.port}"
    password = at.password.reveal() if at.password else ""
    user = f"{at.username}@" if at.username else ""
    keyed = address.replace("://", f"://{user}")
    return Service(
        name=f"{name}-exporter",
        settings=("exporters", "redis"),
        kind="exporter",
        image=image,
        limits=limits(context.settings.of(Exporters).redis),
        user="59000:0",
        entrypoint=("redis_exporter",) if image.built else ("/redis_exporter",),
        command=("-web.listen-address=:9121",),
        env={
            "REDIS_ADDR": address,
            "REDIS_USER": at.username or "",
            "REDIS_PASSWORD_FILE": _PASSWORD,
            **({"REDIS_EXPORTER_TLS_CA_CERT_FILE": AUTHORITY} if at.authority else {}),
        },
        files=(
            File(
                path=_PASSWORD,
                content=Secret(json.dumps({keyed: password, address: password}, sort_keys=True)),
            ),
            *trust(at),
        ),
        connects_to=(at.network,) if at.network else (),
        reaches_out=at.network is None,
        host_gateway=at.network is None,
        network=OBSERVABILITY_NETWORK,
        # The official image holds one binary and no shell: nothing in it can ask for readiness, so
        # there the scrape target's state is the check.
        readiness=_wget("http://127.0.0.1:9121/health") if image.built else None,
        metrics=(Metrics(port=9121, of=name),),
        logs=Logs(format="logfmt"),
    )


DEFINITION = Definition(
    name="exporters",
    stage=Stage.EXPORTER,
    settings=Exporters,
    description="Exporters of services' and the host's metrics.",
    names=(
        "cadvisor",
        SOCKET_PROXY,
        "node-exporter",
        "postgres-exporter",
        "redis-exporter",
        "redis-cache-exporter",
        "redis-queue-exporter",
    ),
    build=lambda context, _: build(context),
)
