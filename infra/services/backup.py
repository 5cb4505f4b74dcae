"""Backup: a schedule over everything that the other services say is to be saved."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from infra.refusal import Violation
from infra.secret import Keyring, Secret
from infra.services.context import (
    AUTHORITY,
    CERTIFICATE,
    CERTIFICATE_KEY,
    Context,
    identity,
    limits,
)
from infra.services.definition import Definition, Stage
from infra.services.platform import why_not
from infra.services.redis import BACKUP as NAME
from infra.services.redis import SYNC_PORT
from infra.services.registry import definitions
from infra.settings import Settings
from infra.settings.backup import Backup, Repository
from infra.settings.stores import Redis
from infra.spec import (
    CONFIG_DIR,
    File,
    HealthCheck,
    Image,
    LeftOut,
    Metrics,
    Port,
    Service,
    Store,
    Volume,
)

METRICS_PORT = 9710
_FOLDER, _ELSEWHERE = "/backup", "/repository"
_SECOND = "/second"
_SCRATCH = f"{_FOLDER}/tmp"  # noqa: S108 - on its volume
_READY = "/tmp/ready"  # noqa: S108 - in its own container


def stores(context: Context) -> list[Store]:
    """What is saved: the stores that this stack deploys."""
    return [
        store
        for definition in definitions()
        if why_not(context, definition) is None
        for store in definition.stores(context)
    ]


def build(context: Context) -> Iterator[Service]:
    """The container with the schedule, if an image for it can be had."""
    settings = context.settings.of(Backup)
    image = _image(context)
    if image is None:
        return
    saved = stores(context)
    networks = dict.fromkeys(store.at.network for store in saved if store.at.network)
    remote = any(item.s3 for item in (settings.repository, settings.second) if item)
    yield Service(
        name=NAME,
        kind="backup",
        image=image,
        limits=limits(settings),
        user="65532:0",
        entrypoint=("python",),
        command=("-m", "groundwork_backup", "serve"),
        env={
            # Packs are written there before they are stored: memory is too dear for them.
            "TMPDIR": _SCRATCH,
            # A store that is down has no name: that is told soon, not after half a minute.
            "RES_OPTIONS": "timeout:2 attempts:1",
            "GOGC": "20",
            "GOMEMLIMIT": str(settings.memory * 6 // 10),
        },
        files=(
            File(path=f"{CONFIG_DIR}/backup.json", content=_configuration(context, saved)),
            *_certificates(context, saved),
        ),
        volumes=tuple(_volumes(settings)),
        ports=(Port(name="sync", container=SYNC_PORT),),
        connects_to=tuple(networks),
        reaches_out=remote,
        host_gateway=remote,
        readiness=HealthCheck(
            command=("sh", "-c", f'[ -n "$(find {_READY} -newermt "-60 seconds")" ]'),
            interval=5,
        ),
        stop_grace=30,
        metrics=(Metrics(port=METRICS_PORT),),
        checks={"stores": ",".join(store.name for store in saved)},
        credentials={"repository": repository_key(context.settings.master_secret)},
    )


def repository_key(master: Secret) -> Secret:
    """The repository's key. It has no generation: what it encrypted must stay readable."""
    return Keyring(master).derive(NAME, "repository", length=43)


def _image(context: Context) -> Image | None:
    return context.extended(NAME, context.settings.of(Backup).image)


def _certificates(context: Context, saved: list[Store]) -> Iterator[File]:
    """The authority of stores that it asks, and its own certificate: of an instance of Redis that
    it restores it is the primary.
    """
    if any(store.at.tls for store in saved):
        yield File(path=AUTHORITY, content=context.authority.certificate)
    # Its key goes with the password that the instance logs in with.
    queue = context.settings.of(Redis).queue
    yield from identity(context, NAME, queue, tls=_serves_tls(saved))


def _serves_tls(saved: list[Store]) -> bool:
    return any(store.at.tls for store in saved if store.kind == "redis")


def _volumes(settings: Backup) -> Iterator[Volume]:
    yield Volume(name="backup-data", path=_FOLDER, size=settings.disk)
    for name, place, item in (
        ("backup-repository", _ELSEWHERE, settings.repository),
        ("backup-second", _SECOND, settings.second),
    ):
        if item is not None and item.path is not None:
            yield Volume(name=name, path=place, size=0, folder=item.path)


def _configuration(context: Context, saved: list[Store]) -> Secret:
    settings = context.settings.of(Backup)
    repositories = [_repository(context, "first", settings.repository, _ELSEWHERE)]
    if settings.second is not None:
        repositories.append(_repository(context, "second", settings.second, _SECOND))
    return Secret(
        json.dumps(
            {
                "stack": context.settings.instance,
                "folder": _FOLDER,
                "sources": [_source(store) for store in saved]
                + [{"name": "stack", "kind": "stack", "host": "", "port": 0}],
                "repositories": repositories,
                "schedule": None if settings.read_only else settings.schedule,
                "check_schedule": None if settings.read_only else settings.check_schedule,
                "read_only": settings.read_only,
                "keep": settings.keep.model_dump(),
                "metrics_port": METRICS_PORT,
                "sync_port": SYNC_PORT,
                **(
                    {"sync_certificate": [CERTIFICATE, CERTIFICATE_KEY]}
                    if _serves_tls(saved)
                    else {}
                ),
            },
            indent=1,
        )
    )


def _source(store: Store) -> dict[str, Any]:
    at = store.at
    return {
        "name": store.name,
        "kind": store.kind,
        "host": at.host,
        "port": at.port,
        "username": at.username or "",
        "password": at.password.reveal() if at.password else "",
        "options": dict(store.options),
        # An image from before there was TLS knows no such key.
        **({"authority": AUTHORITY} if at.tls else {}),
    }


def _repository(
    context: Context, name: str, settings: Repository | None, place: str
) -> Mapping[str, Any]:
    environment: dict[str, str] = {}
    url = f"{_FOLDER}/repository" if settings is None else place
    if settings is not None and settings.s3 is not None:
        url = f"s3:{settings.s3}"
        environment = {
            "AWS_ACCESS_KEY_ID": settings.access_key or "",
            "AWS_SECRET_ACCESS_KEY": settings.secret_key.reveal() if settings.secret_key else "",
        }
    return {
        "name": name,
        "url": url,
        "password": repository_key(context.settings.master_secret).reveal(),
        "environment": environment,
    }


def _validate(stack: Settings) -> Iterator[Violation]:
    settings = stack.of(Backup)
    for name, item in (("repository", settings.repository), ("second", settings.second)):
        if item is not None and item.path is not None and stack.clustered:
            yield Violation(
                key=f"groundwork:backup.{name}.path",
                reason="a folder of one node is not where the next pod may run",
                fix="set s3 instead, or leave it out: the volume of the pod is used then",
            )
    if settings.second is not None and settings.second == settings.repository:
        yield Violation(
            key="groundwork:backup.second",
            reason="it is the repository itself, so it would be no second copy",
            fix="name another place, or remove it",
        )
    if not _one_login(settings):
        yield Violation(
            key="groundwork:backup.second.accessKey",
            reason="a copy from one bucket to another is made with one login for both",
            fix="let the first one's login write to the second, or use a folder for one of them",
        )


def _one_login(settings: Backup) -> bool:
    """Restic copies between two buckets with one login."""
    first, second = settings.repository, settings.second
    if first is None or second is None or first.s3 is None or second.s3 is None:
        return True
    return (first.access_key, first.secret_key) == (second.access_key, second.secret_key)


def _left_out(context: Context) -> Iterator[LeftOut]:
    if _image(context) is None:
        yield LeftOut(
            service=NAME,
            reason=(
                "no public image has what it needs; build images/backup, push it to your registry"
                " and set groundwork:backup.image"
            ),
        )


def _notes(context: Context) -> Iterator[str]:
    settings = context.settings.of(Backup)
    if settings.repository is None and settings.second is None and _image(context) is not None:
        yield (
            "Backups are kept in a volume of this stack, which is lost with the host: set"
            " groundwork:backup.second, or .repository, to a place elsewhere."
        )


DEFINITION = Definition(
    name=NAME,
    stage=Stage.EXPORTER,
    settings=Backup,
    description="Backup of every store.",
    image=NAME,
    build=lambda context, _: build(context),
    validate=_validate,
    left_out=_left_out,
    notes=_notes,
)
