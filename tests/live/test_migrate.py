"""ChromaDB to pgvector in a deployed stack, and to Qdrant in its client's local mode, since no
package has its server.
"""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ops.commands import migrate
from tests.live.clone import ROOT, Clone
from tests.support.waiting import wait_until

_ARTICLES = 14_000


@pytest.fixture(scope="module")
def python() -> Path:
    """The Python that has ChromaDB, as the command installs it."""
    return migrate.python()


@pytest.fixture(scope="module")
def source(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real database of 14,000 articles."""
    folder = tmp_path_factory.mktemp("chroma") / "database"
    made = ROOT / "tests" / "support" / "chroma_database.py"
    subprocess.run([python, "-P", made, folder, str(_ARTICLES)], check=True)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def written(clone: Clone) -> int:
    """Rows of the articles that are on their way."""
    with clone.owner() as db, suppress(psycopg.errors.UndefinedTable):
        row = db.execute('SELECT count(*) FROM chroma."articles (moving)"').fetchone()
        return int(row[0]) if row else 0
    return 0


def test_a_dry_run_lists_the_collections(safe: Clone, source: Path) -> None:
    before = content(source)
    text = safe.ops("migrate-chroma", str(source), "--to", "pgvector", "--dry-run").stdout
    assert re.search(rf"articles +│ {_ARTICLES} +│ 64", text)
    assert re.search(r"empty +│ 0 +│ -", text)
    assert content(source) == before


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["{source}", "--to", "mongo"], "`mongo` is no target"),
        (["{source}", "--to", "qdrant"], "does not deploy qdrant"),
        (["/nowhere", "--to", "pgvector", "--dry-run"], "/nowhere holds no chroma.sqlite3"),
        (
            ["{source}", "--to", "pgvector", "--only", "books", "--dry-run"],
            "no collection `books`",
        ),
    ],
    ids=["unknown target", "target not deployed", "no database", "unknown collection"],
)
def test_bad_input_changes_nothing(
    safe: Clone, source: Path, arguments: list[str], why: str
) -> None:
    done = safe.ops(
        "migrate-chroma", *(item.format(source=source) for item in arguments), check=False
    )
    assert done.returncode == 1
    assert why in " ".join(done.stdout.split())
    assert "Traceback" not in done.stdout


def test_a_killed_migration_shows_nothing_and_is_continued(safe: Clone, source: Path) -> None:
    """All of a collection appears at once; every record has been compared."""
    before = content(source)
    move = ["migrate-chroma", str(source), "--to", "pgvector"]
    with safe.started(*move):
        wait_until(lambda: written(safe) >= 500, timeout=120, reason="500 rows are written")
    there = written(safe)
    with safe.owner() as db:
        assert db.execute("SELECT to_regclass('chroma.articles')").fetchone() == (None,)
    text = safe.ops(*move).stdout
    assert re.search(r"Backup \d+", text)
    found = re.search(rf"articles +│ {_ARTICLES} +│ (\d+)", text)
    assert found
    assert int(found[1]) <= _ARTICLES - there
    assert content(source) == before


def test_the_application_finds_what_has_arrived(safe: Clone, source: Path) -> None:
    """By the index, with documents and metadata as they were."""
    with psycopg.connect(safe.outputs()["environment"]["DATABASE_URL"]) as db:
        plan = db.execute(
            "EXPLAIN SELECT id FROM chroma.articles ORDER BY embedding <=>"
            " (SELECT embedding FROM chroma.articles WHERE id = 'articles/42') LIMIT 3"
        ).fetchall()
        assert any("_embedding_idx" in row[0] for row in plan)
        row = db.execute(
            "SELECT id, document, metadata FROM chroma.articles ORDER BY embedding <=>"
            " (SELECT embedding FROM chroma.articles WHERE id = 'articles/42') LIMIT 1"
        ).fetchone()
        assert row == (
            "articles/42",
            "Straße Nr. 42 · 'quoted'",
            {"n": 42, "even": True, "score": 6.0, "of": "articles"},
        )


def test_a_second_run_writes_nothing(safe: Clone, source: Path) -> None:
    text = safe.ops("migrate-chroma", str(source), "--to", "pgvector").stdout
    assert re.search(rf"articles +│ {_ARTICLES} +│ 0", text)


def test_a_collection_that_differs_is_never_overwritten(safe: Clone, source: Path) -> None:
    with safe.owner() as db:
        db.execute("UPDATE chroma.notes SET document = 'mine' WHERE id = 'notes/7'")
    done = safe.ops("migrate-chroma", str(source), "--to", "pgvector", check=False)
    assert done.returncode == 1
    assert "`notes`: the record `notes/7` differs" in done.stdout
    with safe.owner() as db:
        kept = db.execute("SELECT document FROM chroma.notes WHERE id = 'notes/7'").fetchone()
    assert kept == ("mine",)


def test_what_was_moved_is_removed_by_name(safe: Clone) -> None:
    text = safe.ops("migrate-chroma", "--to", "pgvector", "--undo", "--only", "notes").stdout
    assert "removed notes" in text
    again = safe.ops("migrate-chroma", "--to", "pgvector", "--undo", "--only", "notes", check=False)
    assert "no run has moved such a collection" in again.stdout
    safe.ops("migrate-chroma", "--to", "pgvector", "--undo")
    with safe.owner() as db:
        rest = db.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'chroma'").fetchone()
    assert rest == (0,)


def qdrant(
    python: Path, source: Path, place: Path, undo: Sequence[str] = ()
) -> list[Mapping[str, Any]]:
    """What the program says when it moves to Qdrant's local mode."""
    job: dict[str, Any] = {"source": str(source), "target": "qdrant", "url": str(place)}
    job |= {"only": [], "dry": False, "undo": list(undo)}
    done = subprocess.run(
        [python, "-m", "ops.migrate"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_qdrant_receives_every_record_and_keeps_what_differs(
    python: Path, source: Path, tmp_path: Path
) -> None:
    place = tmp_path / "qdrant"
    moved = [item["moved"] for item in qdrant(python, source, place) if "moved" in item]
    assert {item["name"]: item["written"] for item in moved} == {
        "articles": _ARTICLES,
        "notes": 250,
    }
    again = [item["moved"] for item in qdrant(python, source, place) if "moved" in item]
    assert {item["written"] for item in again} == {0}
    other = tmp_path / "other"
    made = ROOT / "tests" / "support" / "chroma_database.py"
    subprocess.run([python, "-P", made, other, "100"], check=True)
    (failed,) = [item["failed"] for item in qdrant(python, other, place) if "failed" in item]
    assert failed == "`articles`: 14000 records instead of 100"
    assert qdrant(python, source, place, ["notes"]) == [{"removed": "notes"}]
    again = [item["moved"] for item in qdrant(python, source, place) if "moved" in item]
    assert {item["name"]: item["written"] for item in again} == {"articles": 0, "notes": 250}
