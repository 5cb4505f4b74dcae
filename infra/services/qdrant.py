"""Qdrant: vector database with an API key, a read-only key and snapshots on its volume."""

from collections.abc import Iterator

import jwt

from infra.refusal import Violation
from infra.secret import Secret
from infra.services import applications
from infra.services.context import (
    AUTHORITY,
    OWN,
    TLS_FILES,
    Context,
    external_endpoint,
    identity,
    limits,
    trust,
)
from infra.services.definition import Contract, Definition, Stage
from infra.settings import Settings
from infra.settings.stores import Qdrant
from infra.spec import (
    CONFIG_DIR,
    Address,
    Endpoint,
    File,
    HealthCheck,
    Metrics,
    Port,
    Service,
    Store,
    Variable,
    Volume,
)
from infra.templating import render_secret
from infra.units import GIB

NAME = "qdrant"
_PEER_PORT = 6335
# The first replica founds the cluster, the others join it; each tells the others its own name. A
# peer that was a member before goes by what its volume says.
_JOIN = f"""\
own="$HOSTNAME.{NAME}-members:{_PEER_PORT}"
case "$HOSTNAME" in
  *-0) exec ./qdrant "$@" --uri "http://$own" ;;
  *) first="{NAME}-0.{NAME}-members:{_PEER_PORT}"
     exec ./qdrant "$@" --uri "http://$own" --bootstrap "http://$first" ;;
esac
"""
# The image has neither curl nor wget, but bash, and openssl, which ca-certificates depends on.
_READY = (
    "exec 3<>/dev/tcp/127.0.0.1/6333; printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n'"
    " >&3; head -1 <&3 | grep -q ' 200 '"
)
_READY_TLS = (
    "printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' | openssl s_client -quiet"
    f" -connect 127.0.0.1:6333 -CAfile {AUTHORITY} -verify_return_error -verify_ip 127.0.0.1"
    " 2>/dev/null | head -1 | grep -q ' 200 '"
)


def endpoint(context: Context) -> Endpoint:
    """The REST endpoint with the full key."""
    settings = context.settings.of(Qdrant)
    if settings.external:
        return external_endpoint(settings.external)
    at = Endpoint(host=NAME, port=6333, network=NAME, password=context.secret(NAME, "api-key"))
    return context.secured(at, settings)


def build(context: Context) -> Service:
    """Qdrant with its two keys."""
    settings = context.settings.of(Qdrant)
    at = endpoint(context)
    api_key, read_only = context.secret(NAME, "api-key"), context.secret(NAME, "read-only-key")
    small, distributed = settings.memory < GIB, settings.replicas > 1
    return Service(
        name=NAME,
        kind="qdrant",
        image=context.image(NAME),
        limits=limits(settings),
        user="1000:0",
        entrypoint=("bash", "-c", _JOIN, "qdrant") if distributed else ("./qdrant",),
        command=("--config-path", f"{CONFIG_DIR}/qdrant.yaml"),
        env={"QDRANT_INIT_FILE_PATH": "/qdrant/storage/.qdrant-initialized"},
        files=(
            File(
                path=f"{CONFIG_DIR}/qdrant.yaml",
                content=render_secret(
                    "qdrant/qdrant.yaml.j2",
                    log_level=settings.log_level.upper(),
                    api_key=api_key,
                    read_only_key=read_only,
                    small=small,
                    distributed=distributed,
                    peer_port=_PEER_PORT,
                    tls=TLS_FILES if at.tls else None,
                    optimizer_threads=1 if small else max(1, int(settings.cpus) - 1),
                ),
            ),
            *identity(context, NAME, settings, tls=at.tls),
            *trust(at),
        ),
        # Snapshots lie on the same volume: one backup covers both, and no second owner is needed.
        volumes=(Volume(name="qdrant-data", path="/qdrant/storage", size=settings.disk),),
        ports=(
            Port(
                name="rest",
                container=6333,
                host=context.host_port(settings.port),
                scheme="https" if at.tls else "http",
            ),
            Port(
                name="grpc",
                container=6334,
                host=context.host_port(settings.grpc_port),
                scheme="grpc",
            ),
        ),
        readiness=HealthCheck(command=("bash", "-c", _READY_TLS if at.tls else _READY)),
        stop_grace=30,
        replicas=settings.replicas,
        peer_ports=(_PEER_PORT,) if distributed else (),
        metrics=(Metrics(port=6333, bearer=read_only, tls=at.tls),),
        checks={"tls": str(at.tls).lower()},
        credentials={"api-key": api_key, "read-only-key": read_only},
    )


def _validate(stack: Settings) -> Iterator[Violation]:
    settings = stack.of(Qdrant)
    if settings.replicas > 1 and settings.tls:
        yield Violation(
            key="groundwork:qdrant.tls",
            reason="its replicas have no certificates, and would speak in plain text",
            fix="set it to false, or groundwork:qdrant.replicas to 1",
        )


def _environment(context: Context) -> Contract:
    at = endpoint(context)
    key = at.password or Secret("")
    if context.application != OWN:
        collections = applications.current(context).collections
        if not collections:
            return
        key = _token(key, collections)
    yield Address("QDRANT_URL", at, NAME, "rest", at.template("http"))
    yield Variable("QDRANT_API_KEY", key)


def _token(api_key: Secret, collections: tuple[str, ...]) -> Secret:
    """A token for some collections (Qdrant's documentation, granular access control with JWT). It
    ends with the API key that signs it.
    """
    claims = {"access": [{"collection": name, "access": "rw"} for name in collections]}
    return Secret(jwt.encode(claims, api_key.reveal(), algorithm="HS256"))


def _stores(context: Context) -> Iterator[Store]:
    yield Store(name=NAME, kind="qdrant", at=endpoint(context))


DEFINITION = Definition(
    name=NAME,
    stage=Stage.STORE,
    settings=Qdrant,
    description="Vector database.",
    image=NAME,
    build=lambda context, _: [build(context)],
    external_needs=(),
    scales=True,
    validate=_validate,
    exposable=True,
    environment=_environment,
    stores=_stores,
)
