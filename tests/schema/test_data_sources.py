"""What Grafana's browser part makes of the data sources: their expressions run in JavaScript, not
in Python.
"""

import json
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.unit.conftest import make_platform, text

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
LINES = {
    f"level=info msg=done trace_id={TRACE}": TRACE,
    f'{{"message": "done", "traceId": "{TRACE}"}}': TRACE,
    f"TRACE_ID: {TRACE} done": TRACE,
    "level=info msg=done": None,
}
_MATCH = """
const [expression, lines] = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(lines.map((line) => (line.match(expression) || [null, null])[1])));
"""


def _derived() -> list[dict[str, Any]]:
    sources = yaml.safe_load(
        text(make_platform(images="registry").by_name("grafana"), "datasources/groundwork.yaml")
    )["datasources"]
    found: list[dict[str, Any]] = next(item for item in sources if item["uid"] == "loki")[
        "jsonData"
    ]["derivedFields"]
    return found


def test_a_trace_is_found_in_the_text_of_an_entry() -> None:
    """An expression that JavaScript cannot read breaks every answer of Loki's, so it is run by
    JavaScript.
    """
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no Node here: derived fields are not tried in JavaScript")
    (expression,) = [
        item["matcherRegex"] for item in _derived() if item.get("matcherType", "regex") == "regex"
    ]
    done = subprocess.run(
        [node, "-e", _MATCH],
        input=json.dumps([expression, list(LINES)]),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == list(LINES.values())
