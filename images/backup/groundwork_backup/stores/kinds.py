"""The stores by their kind."""

from collections.abc import Callable, Mapping

from groundwork_backup.config import Config, Source
from groundwork_backup.stores.alertmanager import Alertmanager
from groundwork_backup.stores.clickhouse import Clickhouse
from groundwork_backup.stores.grafana import Grafana
from groundwork_backup.stores.interface import Store
from groundwork_backup.stores.minio import Minio
from groundwork_backup.stores.postgres import Postgres
from groundwork_backup.stores.qdrant import Qdrant
from groundwork_backup.stores.redis import Redis
from groundwork_backup.stores.stack import Stack

_KINDS: Mapping[str, Callable[[Config, Source], Store]] = {
    "alertmanager": lambda _, source: Alertmanager(source),
    "clickhouse": lambda _, source: Clickhouse(source),
    "grafana": lambda _, source: Grafana(source),
    "minio": lambda _, source: Minio(source),
    "postgres": lambda _, source: Postgres(source),
    "qdrant": lambda _, source: Qdrant(source),
    "redis": lambda config, source: Redis(source, config.sync_port, config.sync_certificate),
    "stack": lambda config, source: Stack(source, config.folder),
}


def store(config: Config, source: Source) -> Store:
    """The store of a source."""
    return _KINDS[source.kind](config, source)
