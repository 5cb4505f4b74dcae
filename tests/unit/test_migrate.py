"""How collections move: what is written, what is compared, and when a collection gets its name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from ops.migrate import __main__ as migrate
from ops.migrate.interface import BATCH, Collection, Failed, Record
from ops.migrate.pgvector import Pgvector

_ARTICLES = Collection(name="articles", count=250, dimension=2, distance="l2")
_RECORDS = [
    Record(id=str(n), vector=(n / 2, 1.0), document=f"text {n}", metadata={"n": n})
    for n in range(_ARTICLES.count)
]


class Fixed:
    """A source of one collection."""

    def collections(self) -> Sequence[Collection]:
        return [_ARTICLES]

    def batches(self, name: str) -> Iterator[Sequence[Record]]:
        assert name == "articles"
        for first in range(0, len(_RECORDS), BATCH):
            yield _RECORDS[first : first + BATCH]


@dataclass
class Memory:
    """A target that ends after some writes, if asked."""

    moving: dict[str, Record] = field(default_factory=dict)
    arrived: dict[str, Record] = field(default_factory=dict)
    ends_after: int = 99
    writes: list[int] = field(default_factory=list)

    def refuse(self, collection: Collection) -> None:
        return

    def exists(self, name: str) -> bool:
        return bool(self.arrived)

    def begin(self, collection: Collection) -> None:
        return

    def read(self, name: str, ids: Sequence[str], *, arrived: bool) -> Mapping[str, Record]:
        held = self.arrived if arrived else self.moving
        return {key: held[key] for key in ids if key in held}

    def write(self, name: str, records: Sequence[Record]) -> None:
        if len(self.writes) == self.ends_after:
            raise ConnectionError
        self.writes.append(len(records))
        self.moving |= {item.id: item for item in records}

    def count(self, name: str, *, arrived: bool) -> int:
        return len(self.arrived if arrived else self.moving)

    def finish(self, collection: Collection) -> None:
        self.arrived, self.moving = self.moving, {}

    def same_vector(self, before: Sequence[float], after: Sequence[float], distance: str) -> bool:
        return tuple(before) == tuple(after)

    def remove(self, name: str) -> None:
        self.arrived = {}


def test_records_arrive_in_batches_and_under_their_name_at_once() -> None:
    target = Memory()
    migrate._move(Fixed(), target, _ARTICLES)
    assert target.writes == [100, 100, 50]
    assert list(target.arrived.values()) == _RECORDS


def test_a_run_that_ended_is_continued() -> None:
    target = Memory(ends_after=2)
    with pytest.raises(ConnectionError):
        migrate._move(Fixed(), target, _ARTICLES)
    assert not target.arrived
    target.ends_after = 99
    migrate._move(Fixed(), target, _ARTICLES)
    assert target.writes == [100, 100, 50]
    assert len(target.arrived) == 250


@pytest.mark.parametrize(
    "changed",
    [
        replace(_RECORDS[7], vector=(3.5, 1.0000001)),
        replace(_RECORDS[7], document="another"),
        replace(_RECORDS[7], metadata={"n": 8}),
        None,
    ],
    ids=["vector", "document", "metadata", "one too few"],
)
@pytest.mark.parametrize("arrived", [True, False])
def test_what_differs_is_named_and_never_gets_the_name(
    changed: Record | None, arrived: bool
) -> None:
    held = {item.id: item for item in _RECORDS}
    if changed is None:
        held["other"] = held.pop("7")
    else:
        held["7"] = changed
    target = Memory(arrived=dict(held)) if arrived else Memory(moving=dict(held))
    with pytest.raises(Failed, match=r"`7` differs|251 records instead of 250"):
        migrate._move(Fixed(), target, _ARTICLES)
    assert target.arrived == (held if arrived else {})


@pytest.mark.parametrize(
    ("only", "names"), [([], ["articles"]), (["articles"], ["articles"]), (["books"], None)]
)
def test_collections_are_chosen_by_name(only: list[str], names: list[str] | None) -> None:
    if names is None:
        with pytest.raises(Failed, match="no collection `books`"):
            list(migrate._chosen(Fixed(), only))
    else:
        assert [item.name for item in migrate._chosen(Fixed(), only)] == names


@pytest.mark.parametrize(
    "collection",
    [replace(_ARTICLES, name="a" * 60), replace(_ARTICLES, distance="hamming")],
    ids=["a long name", "an unknown distance"],
)
def test_postgres_refuses_what_it_cannot_hold(collection: Collection) -> None:
    with pytest.raises(Failed):
        Pgvector.refuse(object.__new__(Pgvector), collection)
