"""Postgres: each database by pg_dump in one snapshot of it, and the roles."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

import psycopg
from psycopg import sql

from groundwork_backup.config import Source
from groundwork_backup.failure import Failed
from groundwork_backup.stores.databases import about, apply, execute, one
from groundwork_backup.stores.interface import Counts, Opener, blocks

_ROLES = "roles.sql"
_SUFFIX = ".dump"
# A setting of a role, but for the one by which a move to another major version holds it back.
_OF_A_ROLE = re.compile(r'ALTER ROLE ("(?:[^"]|"")+"|\w+) SET (?!default_transaction_read_only\b)')
_RESTORING, _REPLACED = "groundwork__restoring", "groundwork__replaced"
# While a database is dumped the connection that holds its snapshot does nothing.
_SESSION = (
    "-c statement_timeout=0 -c lock_timeout=60s -c row_security=off"
    " -c idle_in_transaction_session_timeout=0"
)
_TABLES = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
       AND NOT EXISTS (SELECT FROM pg_depend d
                        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                          AND d.deptype = 'e')
     ORDER BY 1, 2"""


class Postgres:
    """A server, as its superuser."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._environment = {
            **os.environ,
            "PGHOST": source.host,
            "PGPORT": str(source.port),
            "PGUSER": source.username,
            "PGPASSWORD": source.password,
            "PGCONNECT_TIMEOUT": "10",
            **_verified(source),
        }

    def version(self) -> str:
        """Such as `17.12`."""
        with self._connected() as connection:
            return str(one(connection, "SHOW server_version")).split()[0]

    def items(self) -> Sequence[str]:
        """The roles, and each database that may be connected to."""
        return [_ROLES, *(f"{name}{_SUFFIX}" for name in self._databases())]

    def dump(self, item: str, out: IO[bytes]) -> dict[str, Any]:
        """A database's rows are counted in the snapshot that is dumped."""
        if item == _ROLES:
            self._client("pg_dumpall", "--roles-only", stdout=out)
            return {"counts": {}}
        database = item.removesuffix(_SUFFIX)
        with self._connected(database) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            connection.autocommit = False
            snapshot = str(one(connection, "SELECT pg_export_snapshot()"))
            # Uncompressed: the repository compresses, and finds what has not changed.
            self._client(
                "pg_dump", "--format=custom", "--compress=0", f"--snapshot={snapshot}", database,
                stdout=out,
            )  # fmt: skip
            return {**about(connection, database), "counts": _counts(connection, database)}

    def holds(self) -> Counts:
        """The tables that have rows, but for those of databases that are the platform's own."""
        found: Counts = {}
        for database in self._databases():
            if database == self._source.options.get("own"):
                continue
            with self._connected(database) as connection:
                found |= {
                    name: rows for name, rows in _counts(connection, database).items() if rows
                }
        return found

    def restore(self, streams: Mapping[str, Opener], facts: Mapping[str, Any]) -> Counts:
        """Each database is restored beside the present one and takes its place when it is whole."""
        with streams[_ROLES]() as stream:
            self._create_roles(stream.read().decode())
        found: Counts = {}
        for item, opened in streams.items():
            if item != _ROLES:
                found |= self._restore(item.removesuffix(_SUFFIX), opened, facts[item])
        return found

    def _restore(self, database: str, opened: Opener, facts: Mapping[str, Any]) -> Counts:
        with self._connected() as server:
            known = {name for (name,) in server.execute("SELECT datname FROM pg_database")}
            if database not in known and _REPLACED in known:
                # A restore was interrupted between the two renames.
                execute(server, "ALTER DATABASE {} RENAME TO {}", _REPLACED, database)
                known = known - {_REPLACED} | {database}
            if database in known:
                execute(server, "ALTER DATABASE {} ALLOW_CONNECTIONS true", database)
            execute(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", _RESTORING)
            execute(
                server,
                "CREATE DATABASE {} OWNER {} TEMPLATE template0",
                _RESTORING,
                facts.get("owner") or self._source.username,
            )
        try:
            found = self._fill(database, opened, facts["counts"])
        except BaseException:
            # What is there may need its room.
            with suppress(psycopg.Error), self._connected() as server:
                execute(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", _RESTORING)
            raise
        with self._connected() as server:
            # The deploy's own settings win over those that were saved.
            for properties in (facts, about(server, database) if database in known else {}):
                apply(server, _RESTORING, properties)
            if database in known:
                execute(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", _REPLACED)
                self._swap(server, database)
            else:
                execute(server, "ALTER DATABASE {} RENAME TO {}", _RESTORING, database)
        return found

    def _fill(self, database: str, opened: Opener, saved: Counts) -> Counts:
        """Restores into the new database. Raises Failed unless it holds what was saved."""
        with opened() as stream:
            self._client("pg_restore", "--exit-on-error", f"--dbname={_RESTORING}", stdin=stream)
            for _ in blocks(stream):
                continue
        with self._connected(_RESTORING) as connection:
            execute(connection, "ANALYZE")
            found = _counts(connection, database)
            # What is in memory only may not fit the disk.
            with _disk():
                execute(connection, "CHECKPOINT")
        if found != saved:
            raise Failed(
                f"postgres/{database}: restored {sum(found.values())} rows in {len(found)} tables,"
                f" but {sum(saved.values())} in {len(saved)} were saved; the database is as it was",
                "run `make backup-check`, then restore an earlier backup",
            )
        return found

    @staticmethod
    def _swap(server: psycopg.Connection[Any], database: str) -> None:
        """Puts the restored database in the place of the present one, which stays if that fails."""
        execute(server, "ALTER DATABASE {} ALLOW_CONNECTIONS false", database)
        try:
            server.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s",
                (database,),
            )
            with server.transaction():
                execute(server, "ALTER DATABASE {} RENAME TO {}", database, _REPLACED)
                execute(server, "ALTER DATABASE {} RENAME TO {}", _RESTORING, database)
        except psycopg.Error:
            execute(server, "ALTER DATABASE {} ALLOW_CONNECTIONS true", database)
            raise
        execute(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", _REPLACED)

    def _create_roles(self, script: str) -> None:
        """Roles that the deploy did not make; those it made keep their present passwords, and are
        given their settings.
        """
        with self._connected() as server:
            known = {name for (name,) in server.execute("SELECT rolname FROM pg_roles")}
            for statement in _statements(script):
                name = re.match(r'(?:CREATE|ALTER) ROLE ("(?:[^"]|"")+"|\w+)', statement)
                present = name and name[1].strip('"').replace('""', '"') in known
                if present and not _OF_A_ROLE.match(statement):
                    continue
                try:
                    server.execute(statement.encode())
                except (psycopg.errors.DuplicateObject, psycopg.errors.UndefinedObject):
                    continue

    def _databases(self) -> list[str]:
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT datname, datallowconn FROM pg_database WHERE NOT datistemplate"
                " AND datname <> 'postgres' ORDER BY 1"
            ).fetchall()
        if closed := [name for name, open_ in rows if not open_ or name == _REPLACED]:
            raise Failed(
                f"a restore of {', '.join(closed)} was interrupted", "run `make restore` again"
            )
        return [name for name, _ in rows if name != _RESTORING]

    @contextmanager
    def _connected(self, database: str = "postgres") -> Iterator[psycopg.Connection[Any]]:
        source = self._source
        with psycopg.connect(
            host=source.host,
            port=source.port,
            user=source.username,
            password=source.password,
            dbname=database,
            connect_timeout=10,
            autocommit=True,
            application_name="groundwork-backup",
            options=_SESSION,
            sslmode="verify-full" if source.authority else None,
            sslrootcert=source.authority or None,
        ) as connection:
            yield connection

    def _client(
        self,
        *command: str,
        stdout: IO[bytes] | None = None,
        stdin: IO[bytes] | None = None,
    ) -> None:
        done = subprocess.run(
            command,
            env=self._environment,
            stdin=stdin or subprocess.DEVNULL,
            stdout=stdout or subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode != 0:
            told = " ".join(done.stderr.decode(errors="replace").split())[-400:]
            if "No space left on device" in told:
                raise _full()
            raise Failed(f"{command[0]}: {told}", "check the log of postgres")


def _verified(source: Source) -> dict[str, str]:
    """libpq's own variables for a server whose certificate must be valid."""
    if not source.authority:
        return {}
    return {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": source.authority}


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise _full() from error


def _full() -> Failed:
    return Failed(
        "the disk of postgres is full or broken; its databases are as they were",
        "free up space, or raise groundwork:postgres.disk, then run the same command again",
    )


def _counts(connection: psycopg.Connection[Any], database: str) -> Counts:
    tables = connection.execute(_TABLES).fetchall()
    return {
        f"{database}.{schema}.{table}": int(
            one(
                connection, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
            )
        )
        for schema, table in tables
    }


def _statements(script: str) -> Iterator[str]:
    """The statements about roles in what pg_dumpall prints: one a line."""
    for line in script.splitlines():
        if re.match(r"(CREATE|ALTER) ROLE |GRANT ", line):
            yield line
