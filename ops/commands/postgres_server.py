"""What the move of Postgres to another major version asks of a running server, as its superuser and
from inside its container.
"""

import subprocess
from collections.abc import Mapping
from typing import Any

from infra.services import postgres
from infra.spec import CONFIG_DIR
from ops import console
from ops.sites.interface import Site

_DATA = "/var/lib/postgresql"
_SETTING = "default_transaction_read_only"
_SESSIONS = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND"
_READ_ONLY = (
    f"ALTER SYSTEM SET {_SETTING} = on",
    "SELECT pg_reload_conf()",
    f"SELECT count(pg_terminate_backend(pid)) {_SESSIONS} pid <> pg_backend_pid()",
)
_WRITABLE = (f"ALTER SYSTEM RESET {_SETTING}", "SELECT pg_reload_conf()")
# What a backup does not have: settings of the server itself, and tables beside the databases.
_NOT_SAVED = (
    "SELECT 'the setting ' || name FROM pg_file_settings"
    " WHERE sourcefile LIKE '%postgresql.auto.conf' AND name <> 'default_transaction_read_only'"
    " UNION ALL SELECT 'the table postgres.' || oid::regclass FROM pg_class"
    " WHERE relkind = 'r' AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)'"
)


class Server:
    """One running server. Everything raises Failed with the server's words."""

    def __init__(self, place: Site, services: Mapping[str, Any]) -> None:
        """`services` are those of the deploy that started it."""
        self._place, self._entry = place, services[postgres.NAME]

    def refuse_writes(self) -> None:
        """From now on sessions are read-only by default; those that are open end."""
        self._ask(*_READ_ONLY)

    def accept_writes(self) -> None:
        """Takes that back."""
        self._ask(*_WRITABLE)

    def let_applications_write(self) -> None:
        """Takes back what provisioning does while data is on its way. Open sessions end: they keep
        what their role's default was when they began.
        """
        roles = self._entry["checks"]["roles"]
        self._ask(
            *(f'ALTER ROLE "{role}" RESET {_SETTING}' for role in roles.split(",")),
            f"SELECT count(pg_terminate_backend(pid)) {_SESSIONS} usename = ANY ('{{{roles}}}')",
        )

    def not_saved(self) -> list[str]:
        """What is in this server and in none of its backups."""
        return self._ask(_NOT_SAVED)

    def data_of(self, major: int) -> int | None:
        """MiB in the data directory of a major version; None if there is none."""
        found = self._run("du", "-sm", f"{_DATA}/{major}")
        return int(found.stdout.split()[0]) if found.returncode == 0 else None

    def delete_data_of(self, major: int) -> None:
        """Deletes that directory."""
        done = self._run("rm", "-rf", f"{_DATA}/{major}")
        if done.returncode != 0:
            raise console.Failed(f"Postgres {major}: {done.stderr.strip()[-300:]}")

    def _ask(self, *statements: str) -> list[str]:
        """The lines that statements answer."""
        script = (
            f"PGPASSWORD=$(cat {CONFIG_DIR}/superuser-password)"
            ' exec psql -h 127.0.0.1 -U postgres "$@"'
        )
        arguments = [part for statement in statements for part in ("-c", statement)]
        options = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", "postgres")
        done = self._run("sh", "-c", script, "sh", *options, *arguments)
        if done.returncode != 0:
            raise console.Failed(f"Postgres: {done.stderr.strip()[-300:]}", "make logs S=postgres")
        return done.stdout.splitlines()

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._place.inside(self._entry), *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
