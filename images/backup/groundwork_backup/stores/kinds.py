"""The stores by their kind."""

from collections.abc import Callable, Mapping

from groundwork_backup.config import Config, Source
from groundwork_backup.stores.alertmanager import Alertmanager
from groundwork_backup.stores.interface import Store
from groundwork_backup.stores.minio import Minio
from groundwork_backup.stores.postgres import Postgres
from groundwork_backup.stores.redis import Redis
from groundwork_backup.stores.stack import Stack

_KINDS: Mapping[str, Callable[[Source], Store]] = {
    "alertmanager": Alertmanager,
    "minio": Minio,
    "postgres": Postgres,
}


def store(config: Config, source: Source) -> Store:
    """The store of a source."""
    if source.kind == "stack":
        return Stack(source, config.folder)
    if source.kind == "redis":
        return Redis(source, config.sync_port)
    return _KINDS[source.kind](source)
