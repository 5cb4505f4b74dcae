"""What a program elsewhere says, and how its failure is told."""

import json
import sys
from typing import Any

import pytest

from ops import console, program


def ask(code: str, stdin: str = "") -> list[dict[str, Any]]:
    command = [sys.executable, "-c", code]
    return list(program.ask(command, what="the program", fix="again", stdin=stdin))


def says(*messages: object) -> str:
    """Code that prints each as JSON."""
    return "\n".join(f"print({json.dumps(item)!r})" for item in messages)


def test_answers_come_through_and_what_it_says_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(says({"a": 1}, {"says": "working"}) + "\nprint('no JSON')") == [{"a": 1}]
    assert "working" in capsys.readouterr().out


def test_it_reads_what_it_is_given() -> None:
    assert ask("import sys; print(sys.stdin.read())", stdin='{"b": 2}') == [{"b": 2}]


@pytest.mark.parametrize(
    ("code", "what", "fix"),
    [
        (says({"failed": "full", "fix": "free it"}), "full", "free it"),
        ("raise SystemExit('lost its mind')", "the program: lost its mind", "again"),
        ("import os; os._exit(3)", "the program: status 3", "again"),
        (
            "import sys; sys.stderr.write('x' * 200000); raise SystemExit('after much noise')",
            "after much noise",
            "again",
        ),
    ],
    ids=["as it says", "its last words", "without a word", "more words than a pipe holds"],
)
def test_a_failure_is_told(code: str, what: str, fix: str) -> None:
    with pytest.raises(console.Failed) as raised:
        ask(code)
    assert what in raised.value.what
    assert raised.value.fix == fix
