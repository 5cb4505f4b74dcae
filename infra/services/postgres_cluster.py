"""Postgres with several instances: a custom resource of CloudNativePG, from the same description as
the single container.
"""

from infra.secret import Secret
from infra.services.context import Context
from infra.settings.stores import Postgres
from infra.spec import PULL_SECRET, Operated
from infra.units import MIB

OPERATOR = "CloudNativePG"
_HOME = "https://cloudnative-pg.io"
_API = "postgresql.cnpg.io/v1"
_STATUS_PORT = 8000
# Set by the operator itself; it refuses them among the parameters (CloudNativePG 1.28, fixed
# parameters).
_OPERATORS_OWN = frozenset(
    {
        "data_directory",
        "hba_file",
        "listen_addresses",
        "log_destination",
        "logging_collector",
        "port",
        "shared_preload_libraries",
        "unix_socket_directories",
        "wal_level",
        "log_timezone",
    }
)


def operated(context: Context, configuration: str, superuser: Secret) -> Operated:
    """The operator's resource for the configured replicas; `configuration` is the postgresql.conf
    of one instance.
    """
    settings = context.settings.of(Postgres)
    return Operated(
        api_version=_API,
        kind="Cluster",
        operator=OPERATOR,
        home=_HOME,
        status_port=_STATUS_PORT,
        operator_labels={"app.kubernetes.io/name": "cloudnative-pg"},
        secrets={
            "postgres-superuser": {"username": Secret("postgres"), "password": superuser},
            "postgres-owner": {
                "username": Secret("app_owner"),
                "password": context.secret("postgres", "app_owner"),
            },
        },
        spec=_spec(context, settings, configuration),
    )


def _spec(context: Context, settings: Postgres, configuration: str) -> dict[str, object]:
    cluster = context.settings.kubernetes
    memory, cores = f"{settings.memory // MIB}Mi", round(settings.cpus * 1000)
    storage: dict[str, object] = {"size": f"{settings.disk // MIB}Mi"}
    if cluster.storage_class:
        storage["storageClass"] = cluster.storage_class
    return {
        "instances": settings.replicas,
        "imageName": context.image("postgres-cluster", "postgres").reference,
        "storage": storage,
        "resources": {
            "limits": {"memory": memory, "cpu": f"{cores}m"},
            "requests": {"memory": memory, "cpu": f"{max(1, cores // 10)}m"},
        },
        "affinity": {
            "nodeSelector": dict(cluster.node_selector),
            "tolerations": [item.model_dump(exclude_none=True) for item in cluster.tolerations],
        },
        "imagePullSecrets": [{"name": PULL_SECRET}] if cluster.pull_secret else [],
        "enableSuperuserAccess": True,
        "superuserSecret": {"name": "postgres-superuser"},
        "bootstrap": {
            "initdb": {
                "database": settings.database,
                "owner": "app_owner",
                "secret": {"name": "postgres-owner"},
                "encoding": "UTF8",
                "localeProvider": "builtin",
                "builtinLocale": "C.UTF-8",
                "dataChecksums": True,
            },
        },
        "postgresql": {
            "parameters": parameters(configuration),
            "shared_preload_libraries": ["pg_stat_statements"],
            # A commit waits for one standby while there is one: a failover loses none, and one
            # failure stops nobody.
            "synchronous": {"method": "any", "number": 1, "dataDurability": "preferred"},
        },
        # Dependents know one name, whoever is the primary.
        "managed": {
            "services": {
                "additional": [
                    {"selectorType": "rw", "serviceTemplate": {"metadata": {"name": "postgres"}}}
                ]
            }
        },
        "primaryUpdateStrategy": "unsupervised",
    }


def parameters(configuration: str) -> dict[str, str]:
    """The settings of a postgresql.conf, without those that the operator sets itself."""
    pairs = (
        line.split(" = ", 1)
        for line in configuration.splitlines()
        if " = " in line and not line.startswith("#")
    )
    return {name: value.strip().strip("'") for name, value in pairs if name not in _OPERATORS_OWN}
