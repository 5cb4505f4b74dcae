"""The recovery kit is offered once, at a terminal, and a refusal of it harms nothing."""

from pathlib import Path

import pytest
import typer

from ops import console
from ops.build.toolchain import Toolchain
from ops.commands import kit
from ops.stacks import private
from ops.stacks.stack import Stack
from ops.stacks.state import Backend

STACK = Stack("dev", Toolchain((), {}, "docker", None), Backend({}, local=True))


class Person:
    """Answers what is asked, and counts it."""

    def __init__(self, answer: bool) -> None:
        self.asked, self.written, self.answer = 0, 0, answer

    def confirm(self, _: str) -> bool:
        self.asked += 1
        return self.answer

    def write(self, *_: object) -> None:
        self.written += 1
        raise console.Failed("this phrase is too short", "use 20 characters or more")


@pytest.fixture
def person(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Person:
    found = Person(request.param)
    monkeypatch.setattr(private, "folder", lambda: tmp_path)
    monkeypatch.setattr(kit, "interactive", lambda: True)
    monkeypatch.setattr(typer, "confirm", found.confirm)
    monkeypatch.setattr(kit, "_write", found.write)
    return found


@pytest.mark.parametrize("person", [True, False], indirect=True, ids=["yes", "no"])
def test_it_is_offered_once(person: Person) -> None:
    """The stack is deployed whether or not the kit could be written."""
    for _ in range(3):
        kit.offer(STACK)
    assert (person.asked, person.written) == (1, int(person.answer))


@pytest.mark.parametrize("person", [True], indirect=True)
def test_nobody_is_asked_without_a_terminal(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit, "interactive", lambda: False)
    kit.offer(STACK)
    assert person.asked == 0
