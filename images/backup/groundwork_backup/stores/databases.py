"""What belongs to a Postgres database itself, which a dump of its contents does not have."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql

# Their value is a list, as Postgres itself quotes it.
_LISTS = ("search_path", "session_preload_libraries", "local_preload_libraries", "temp_tablespaces")
# A role is null for PUBLIC, and for settings that hold for every role.
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


def about(connection: psycopg.Connection[Any], database: str) -> dict[str, Any]:
    """The owner of a database, who may use it, and its settings."""

    def rows(query: str) -> list[list[Any]]:
        return [list(row) for row in connection.execute(query.encode(), [database])]

    return {
        "owner": one(connection, _OWNER, database),
        "restricted": one(connection, _RESTRICTED, database),
        "grants": rows(_GRANTS),
        "settings": rows(_SETTINGS),
    }


def apply(server: psycopg.Connection[Any], database: str, about: Mapping[str, Any]) -> None:
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
        given = sql.SQL(value) if key in _LISTS else sql.Literal(value)
        server.execute(statement.format(of.format(*names), setting, given))


def one(connection: psycopg.Connection[Any], query: Any, *values: str) -> Any:
    """The only value of a query; None without a row."""
    row = connection.execute(query, values or None).fetchone()
    return row[0] if row else None


def execute(connection: psycopg.Connection[Any], statement: Any, *names: str) -> None:
    """Executes a statement with names in it."""
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
