"""ClickHouse: the definition of each table, and its rows in ClickHouse's own format.

`BACKUP` writes where the server can write: a disk that no other container sees, or a bucket. Rows
in `Native` go straight into the repository, which finds what has not changed, and any server of
the same version or a newer one reads them.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import IO, Any

import httpx

from groundwork_backup.config import Source
from groundwork_backup.failure import Failed
from groundwork_backup.stores.interface import CHUNK, Counts, Opener, blocks

_SCHEMA, _SUFFIX = "schema.json", ".native"
_RESTORING = "__restoring"
_OWN_ROWS = "engine LIKE '%MergeTree' OR engine LIKE '%Log'"
_FOREIGN = "database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema')"
_CREATED = re.compile(r"^CREATE TABLE (?:`(?:[^`\\]|\\.)*`|\w+)\.(?:`(?:[^`\\]|\\.)*`|\w+)")
# Rows come as they were: not merged while they are inserted, nor into columns that are not there.
_AS_THEY_WERE = {
    "optimize_on_insert": "0",
    "max_partitions_per_insert_block": "0",
    "input_format_skip_unknown_fields": "0",
}


class Clickhouse:
    """A server, as its administrator."""

    def __init__(self, source: Source, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(
            base_url=source.url,
            auth=(source.username, source.password),
            verify=source.trusted,
            timeout=httpx.Timeout(30, read=3600, write=3600),
            transport=transport,
        )

    def version(self) -> str:
        """Such as `26.3.33.24`."""
        return self._ask("SELECT version()").strip()

    def items(self) -> Sequence[str]:
        """The definitions, and each table that has rows of its own."""
        return [_SCHEMA, *(f"{name}{_SUFFIX}" for name in self._tables())]

    def dump(self, item: str, out: IO[bytes]) -> dict[str, Any]:
        """A table is read in one query, which sees the parts that were there at its start."""
        if item == _SCHEMA:
            self._refuse_hidden_rows()
            rows = self._rows(
                f"SELECT database, name, create_table_query FROM system.tables WHERE {_FOREIGN}"  # noqa: S608
                " AND NOT startsWith(name, '.inner') ORDER BY engine LIKE '%View', database, name"
            )
            out.write(json.dumps(rows).encode())
            return {"counts": {}}
        name = item.removesuffix(_SUFFIX)
        query = f"SELECT * FROM {_quoted(name)} FORMAT Native"  # noqa: S608 - quoted
        counts = self._count(name)
        with self._http.stream("POST", "/", content=query.encode()) as response:
            if response.is_error:
                response.read()
            self._good(response)
            for chunk in response.iter_bytes(CHUNK):
                out.write(chunk)
        return {"counts": {name: counts}}

    def holds(self) -> Counts:
        """Rows of each table that has any."""
        found = {name: self._count(name) for name in self._tables()}
        return {name: rows for name, rows in found.items() if rows}

    def restore(self, streams: Mapping[str, Opener], facts: Mapping[str, Any]) -> Counts:
        """Each table is filled beside the present one, and takes its place when it is whole."""
        with streams[_SCHEMA]() as stream:
            definitions = json.load(stream)
        for database in {item["database"] for item in definitions}:
            self._ask(f"CREATE DATABASE IF NOT EXISTS {_name(database)}")
        present = {(item["database"], item["name"]) for item in self._known()}
        for item in definitions:
            if (item["database"], item["name"]) not in present:
                self._ask(item["create_table_query"])
        created = {
            f"{item['database']}.{item['name']}": item["create_table_query"] for item in definitions
        }
        for item, opened in streams.items():
            if item != _SCHEMA:
                name = item.removesuffix(_SUFFIX)
                self._restore(name, created[name], opened, facts[item]["counts"])
        return {name: self._count(name) for name in self._tables()}

    def _restore(self, name: str, created: str, opened: Opener, counts: Counts) -> None:
        database, _, table = name.partition(".")
        scratch = f"{_name(database)}.{_name(table + _RESTORING)}"
        self._ask(f"DROP TABLE IF EXISTS {scratch} SYNC")
        self._ask(_CREATED.sub(lambda _: f"CREATE TABLE {scratch}", created, count=1))
        for what in ("MERGES", "TTL MERGES"):
            self._ask(f"SYSTEM STOP {what} {scratch}")
        query = {"query": f"INSERT INTO {scratch} FORMAT Native", **_AS_THEY_WERE}
        with opened() as stream:
            self._good(self._http.post("/", params=query, content=blocks(stream)))
        rows = int(self._ask(f"SELECT count() FROM {scratch}"))  # noqa: S608 - quoted
        # Rows that were written after they were counted may have been read.
        if rows < counts[name]:
            self._ask(f"DROP TABLE {scratch} SYNC")
            raise Failed(
                f"clickhouse/{name}: restored {rows} rows, but {counts[name]} were saved; the table"
                " is as it was",
                "run `make backup-check`, then restore an earlier backup",
            )
        for what in ("TTL MERGES", "MERGES"):
            self._ask(f"SYSTEM START {what} {scratch}")
        self._ask(f"EXCHANGE TABLES {scratch} AND {_quoted(name)}")
        self._ask(f"DROP TABLE {scratch} SYNC")

    def _refuse_hidden_rows(self) -> None:
        """A view without a table of its own keeps its rows in one that is hidden."""
        hidden = self._rows(
            f"SELECT database FROM system.tables WHERE {_FOREIGN} AND startsWith(name, '.inner')"  # noqa: S608
        )
        if hidden:
            raise Failed(
                f"{len(hidden)} materialized views have no table of their own, and a backup cannot"
                " bring theirs back",
                "create them with TO and a table",
            )

    def _known(self) -> list[dict[str, Any]]:
        return self._rows(f"SELECT database, name FROM system.tables WHERE {_FOREIGN}")  # noqa: S608

    def _tables(self) -> list[str]:
        rows = self._rows(
            f"SELECT database, name FROM system.tables WHERE {_FOREIGN} AND ({_OWN_ROWS})"  # noqa: S608
            f" AND NOT startsWith(name, '.inner') AND NOT endsWith(name, '{_RESTORING}')"
            " ORDER BY database, name"
        )
        return [f"{row['database']}.{row['name']}" for row in rows]

    def _count(self, name: str) -> int:
        return int(self._ask(f"SELECT count() FROM {_quoted(name)}"))  # noqa: S608 - quoted

    def _rows(self, query: str) -> list[dict[str, Any]]:
        text = self._ask(f"{query} FORMAT JSONEachRow")
        return [json.loads(line) for line in text.splitlines() if line]

    def _ask(self, query: str) -> str:
        return self._good(self._http.post("/", content=query.encode())).text

    def _good(self, response: httpx.Response) -> httpx.Response:
        if response.is_error:
            told = " ".join(response.text.split())[:300]
            raise Failed(
                f"clickhouse: status {response.status_code}: {told}", "check its log and its disk"
            )
        return response


def _quoted(name: str) -> str:
    database, _, table = name.partition(".")
    return f"{_name(database)}.{_name(table)}"


def _name(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"
