"""Postgres: a table for each collection, in the schema `chroma`."""

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from ops.migrate.interface import Collection, Failed, Record

SCHEMA = "chroma"
_MOVING = " (moving)"
_LONGEST_NAME = 63 - len(_MOVING)
_LONGEST_INDEXED = 2000
_OPERATORS = {"l2": "vector_l2_ops", "cosine": "vector_cosine_ops", "ip": "vector_ip_ops"}


class Pgvector:
    """A database, as the owner of the application's schema; `authority` is the file of the one that
    signed its certificate, if that is none of the system's.
    """

    def __init__(self, url: str, authority: str = "") -> None:
        self._db = psycopg.connect(url, autocommit=True, sslrootcert=authority or None)
        self._db.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(_schema()))
        self._db.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO app").format(_schema()))

    def refuse(self, collection: Collection) -> None:
        """Names longer than Postgres' identifiers, and distances without an operator."""
        if len(collection.name.encode()) > _LONGEST_NAME:
            raise Failed(
                f"the name `{collection.name}` is longer than {_LONGEST_NAME} bytes",
                "rename the collection in ChromaDB (`collection.modify(name=…)`)",
            )
        if collection.distance not in _OPERATORS:
            raise Failed(
                f"`{collection.name}` is searched by `{collection.distance}`, which has no index",
                f"one of {', '.join(_OPERATORS)}",
            )

    def exists(self, name: str) -> bool:
        """True if there is a table of this name."""
        return self._one("SELECT to_regclass(%s) IS NOT NULL", _table(name).as_string()) is True

    def begin(self, collection: Collection) -> None:
        """Makes the table."""
        length = sql.SQL("vector({})").format(sql.Literal(collection.dimension or 1))
        self._db.execute(
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} (id text PRIMARY KEY, embedding {} NOT NULL,"
                " document text, metadata jsonb NOT NULL)"
            ).format(_table(collection.name + _MOVING), length)
        )

    def read(self, name: str, ids: Sequence[str], *, arrived: bool) -> Mapping[str, Record]:
        """The rows with these ids."""
        query = sql.SQL(
            "SELECT id, embedding::real[], document, metadata FROM {} WHERE id = ANY(%s)"
        ).format(_table(name if arrived else name + _MOVING))
        return {
            # The text of a single-precision number is the shortest that names it.
            row[0]: Record(
                id=row[0], vector=tuple(array("f", row[1])), document=row[2], metadata=row[3]
            )
            for row in self._db.execute(query, [list(ids)])
        }

    def write(self, name: str, records: Sequence[Record]) -> None:
        """All of them, or none."""
        query = sql.SQL("INSERT INTO {} VALUES (%s, %s::vector, %s, %s)").format(
            _table(name + _MOVING)
        )
        with self._db.transaction(), self._db.cursor() as cursor:
            cursor.executemany(
                query,
                [
                    (
                        item.id,
                        "[" + ",".join(map(repr, item.vector)) + "]",
                        item.document,
                        Jsonb(dict(item.metadata)),
                    )
                    for item in records
                ],
            )

    def count(self, name: str, *, arrived: bool) -> int:
        """The number of rows."""
        table = _table(name if arrived else name + _MOVING)
        return int(self._one(sql.SQL("SELECT count(*) FROM {}").format(table)))

    def finish(self, collection: Collection) -> None:
        """Indexes the table, shows it to the application, and renames it."""
        table = _table(collection.name + _MOVING)
        with self._db.transaction():
            if (collection.dimension or 0) <= _LONGEST_INDEXED:
                operators = sql.SQL(_OPERATORS[collection.distance])
                self._db.execute(
                    sql.SQL("CREATE INDEX ON {} USING hnsw (embedding {})").format(table, operators)
                )
            self._db.execute(
                sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO app").format(table)
            )
            self._db.execute(
                sql.SQL("ALTER TABLE {} RENAME TO {}").format(
                    table, sql.Identifier(collection.name)
                )
            )
        self._db.execute(sql.SQL("ANALYZE {}").format(_table(collection.name)))

    def same_vector(self, before: Sequence[float], after: Sequence[float], distance: str) -> bool:
        """Single precision on both sides, so they are equal."""
        return tuple(before) == tuple(after)

    def remove(self, name: str) -> None:
        """Drops the table."""
        self._db.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(_table(name)))

    def _one(self, query: Any, *values: Any) -> Any:
        row = self._db.execute(query, values).fetchone()
        return row[0] if row else None


def _schema() -> sql.Identifier:
    return sql.Identifier(SCHEMA)


def _table(name: str) -> sql.Identifier:
    return sql.Identifier(SCHEMA, name)
