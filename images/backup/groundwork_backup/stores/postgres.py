"""Postgres: each database by pg_dump in one snapshot of it, and the roles."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

import psycopg
from psycopg import sql

from groundwork_backup.config import Source
from groundwork_backup.failure import Failed
from groundwork_backup.stores.interface import Counts, Opener

_ROLES = "roles.sql"
_SUFFIX = ".dump"
_RESTORING, _REPLACED = "{}__restoring", "{}__replaced"
_TABLES = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
       AND NOT EXISTS (SELECT FROM pg_depend d
                        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                          AND d.deptype = 'e')
     ORDER BY 1, 2"""
# What belongs to a database itself is not in a dump of its contents. A role is null for PUBLIC, and
# for settings that hold for every role.
_GRANTS = """
    SELECT privilege_type, CASE grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(grantee) END
      FROM pg_database, aclexplode(datacl) WHERE datname = %s"""
_RESTRICTED = "SELECT datacl IS NOT NULL FROM pg_database WHERE datname = %s"
_SETTINGS = """
    SELECT CASE setrole WHEN 0 THEN NULL ELSE pg_get_userbyid(setrole) END,
           split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1)
      FROM pg_db_role_setting, unnest(setconfig) AS setting
     WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = %s)"""
_OWNER = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s"


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
        }

    def version(self) -> str:
        """Such as `17.12`."""
        with self._connected() as connection:
            return str(_one(connection, "SHOW server_version")).split()[0]

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
            snapshot = str(_one(connection, "SELECT pg_export_snapshot()"))
            # Uncompressed: the repository compresses, and finds what has not changed.
            self._client(
                "pg_dump", "--format=custom", "--compress=0", f"--snapshot={snapshot}", database,
                stdout=out,
            )  # fmt: skip
            return {**_about(connection, database), "counts": _counts(connection, database)}

    def holds(self) -> Counts:
        """The tables that have rows."""
        found: Counts = {}
        for database in self._databases():
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
        scratch, replaced = _RESTORING.format(database), _REPLACED.format(database)
        with self._connected() as server:
            known = {name for (name,) in server.execute("SELECT datname FROM pg_database")}
            if database not in known and replaced in known:
                # A restore was interrupted between the two renames.
                _execute(server, "ALTER DATABASE {} RENAME TO {}", replaced, database)
                known = known - {replaced} | {database}
            _execute(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", scratch)
            _execute(
                server,
                "CREATE DATABASE {} OWNER {} TEMPLATE template0",
                scratch,
                facts.get("owner") or self._source.username,
            )
        with opened() as stream:
            self._client(
                "pg_restore", "--exit-on-error", f"--dbname={scratch}", stdin=stream, end=stream
            )
        with self._connected(scratch) as connection:
            _execute(connection, "ANALYZE")
            found = _counts(connection, database)
        if found != facts["counts"]:
            raise Failed(
                f"postgres/{database}: restored {sum(found.values())} rows in {len(found)} tables,"
                f" but {sum(facts['counts'].values())} in {len(facts['counts'])} were saved; the"
                " database is as it was",
                "run `make backup-check`, then restore an earlier backup",
            )
        with self._connected() as server:
            # The deploy's own settings win over those that were saved.
            for about in (facts, _about(server, database) if database in known else {}):
                _apply(server, scratch, about)
            if database in known:
                _execute(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", replaced)
                _execute(server, "ALTER DATABASE {} ALLOW_CONNECTIONS false", database)
                server.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                    (database,),
                )
                _execute(server, "ALTER DATABASE {} RENAME TO {}", database, replaced)
            _execute(server, "ALTER DATABASE {} RENAME TO {}", scratch, database)
            _execute(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", replaced)
        return found

    def _create_roles(self, script: str) -> None:
        """Roles that the deploy did not make; those it made keep their present passwords."""
        with self._connected() as server:
            known = {name for (name,) in server.execute("SELECT rolname FROM pg_roles")}
            for statement in _statements(script):
                name = re.match(r'(?:CREATE|ALTER) ROLE ("(?:[^"]|"")+"|\w+)', statement)
                if name and name[1].strip('"').replace('""', '"') in known:
                    continue
                try:
                    server.execute(statement.encode())
                except (psycopg.errors.DuplicateObject, psycopg.errors.UndefinedObject):
                    continue

    def _databases(self) -> list[str]:
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate"
                " AND datname <> 'postgres' ORDER BY 1"
            )
            unfinished = (_RESTORING.format(""), _REPLACED.format(""))
            return [name for (name,) in rows if not name.endswith(unfinished)]

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
            options="-c statement_timeout=0 -c lock_timeout=60s -c row_security=off",
        ) as connection:
            yield connection

    def _client(
        self,
        *command: str,
        stdout: IO[bytes] | None = None,
        stdin: IO[bytes] | None = None,
        end: IO[bytes] | None = None,
    ) -> None:
        done = subprocess.run(
            command,
            env=self._environment,
            stdin=stdin or subprocess.DEVNULL,
            stdout=stdout or subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if end is not None:
            end.read()
        if done.returncode != 0:
            told = " ".join(done.stderr.decode(errors="replace").split())[-400:]
            raise Failed(f"{command[0]}: {told}", "check the log of postgres")


def _about(connection: psycopg.Connection[Any], database: str) -> dict[str, Any]:
    """The owner of a database, who may use it, and its settings."""

    def rows(query: str) -> list[list[Any]]:
        return [list(row) for row in connection.execute(query.encode(), [database])]

    return {
        "owner": _one(connection, _OWNER, database),
        "restricted": _one(connection, _RESTRICTED, database),
        "grants": rows(_GRANTS),
        "settings": rows(_SETTINGS),
    }


def _apply(server: psycopg.Connection[Any], database: str, about: Mapping[str, Any]) -> None:
    """Gives a database the grants and settings of another."""
    name = sql.Identifier(database)
    if about.get("restricted"):
        server.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    for privilege, role in about.get("grants", ()):
        grantee = sql.SQL("PUBLIC") if role is None else sql.Identifier(role)
        # One of the words that Postgres itself gave.
        statement = sql.SQL(f"GRANT {privilege} ON DATABASE {{}} TO {{}}")
        server.execute(statement.format(name, grantee))
    for role, key, value in about.get("settings", ()):
        of = sql.SQL("DATABASE {}" if role is None else "ROLE {} IN DATABASE {}")
        names = [name] if role is None else [sql.Identifier(role), name]
        statement = sql.SQL("ALTER {} SET {} = {}")
        setting = sql.Identifier(*key.split("."))
        server.execute(statement.format(of.format(*names), setting, sql.Literal(value)))


def _counts(connection: psycopg.Connection[Any], database: str) -> Counts:
    tables = connection.execute(_TABLES).fetchall()
    return {
        f"{database}.{schema}.{table}": int(
            _one(
                connection, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
            )
        )
        for schema, table in tables
    }


def _one(connection: psycopg.Connection[Any], query: Any, *values: str) -> Any:
    row = connection.execute(query, values or None).fetchone()
    return row[0] if row else None


def _execute(connection: psycopg.Connection[Any], statement: Any, *names: str) -> None:
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _statements(script: str) -> Iterator[str]:
    """The statements about roles in what pg_dumpall prints: one a line."""
    for line in script.splitlines():
        if re.match(r"(CREATE|ALTER) ROLE |GRANT ", line):
            yield line
