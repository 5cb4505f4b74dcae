"""The dashboards against the types of the Grafana that is deployed, which Grafana publishes as a
package.

A property that Grafana does not know, or one of another type, is an error of the compiler's.
"""

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.dashboards import BOARDS
from infra.dashboards.render import render
from infra.versions import OFFICIAL
from ops.paths import cache

HERE = Path(__file__).resolve().parent
_MANIFEST = ("package.json", "package-lock.json", ".npmrc")
_RAW = "@grafana/schema/dist/esm/raw/composable"
_BARS = f"{_RAW}/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen"
_TIMES = f"{_RAW}/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen"
_HEAD = f"""\
import type {{
  AnnotationQuery, Dashboard, GraphFieldConfig, TableFieldOptions
}} from '@grafana/schema';
import type {{ Options as BarGaugeOptions }} from '{_BARS}';
import type {{ Options as TableOptions }} from '{_RAW}/table/panelcfg/x/TablePanelCfg_types.gen';
import type {{ Options as StatOptions }} from '{_RAW}/stat/panelcfg/x/StatPanelCfg_types.gen';
import type {{ Options as GaugeOptions }} from '{_RAW}/gauge/panelcfg/x/GaugePanelCfg_types.gen';
import type {{ Options as LogsOptions }} from '{_RAW}/logs/panelcfg/x/LogsPanelCfg_types.gen';
import type {{ Options as TimeSeriesOptions }} from '{_TIMES}';
// What an annotation asks of Prometheus is its plugin's, which publishes no types.
type Asked = {{ expr: string; step?: string; titleFormat?: string }};
type Annotation = Partial<AnnotationQuery> & Asked;
// JSON has no enumerations: a member stands as its text.
type Plain<T> = T extends string ? `${{T}}` : T extends number | boolean ? T
  : T extends (infer U)[] ? Plain<U>[] : T extends object ? {{ [K in keyof T]: Plain<T[K]> }} : T;
"""
# What is missing takes Grafana's default; what is there must be known and of its type.
_OPTIONS = {
    "stat": "StatOptions",
    "gauge": "GaugeOptions",
    "bargauge": "BarGaugeOptions",
    "table": "TableOptions",
    "logs": "LogsOptions",
    "timeseries": "TimeSeriesOptions",
}


@pytest.fixture(scope="module")
def packages() -> Path:
    """The installed packages, in the cache: exactly what the lock file names."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(
            "there is no Node here: the dashboards are not held against Grafana's published types"
        )
    stamp = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in _MANIFEST)).hexdigest()[
        :12
    ]
    folder = cache() / f"grafana-schema-{stamp}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=cache()) as scratch:
            for name in _MANIFEST:
                shutil.copy2(HERE / name, scratch)
            subprocess.run(
                [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=scratch,
                check=True,
                capture_output=True,
            )
            shutil.copytree(scratch, folder, symlinks=True)
    return folder


def compile_(packages: Path, source: str) -> str:
    """What the compiler says of a source; nothing, if it is in order."""
    with tempfile.TemporaryDirectory(dir=packages) as scratch:
        path = Path(scratch) / "check.ts"
        path.write_text(_HEAD + source)
        compiler = packages / "node_modules" / "typescript" / "bin" / "tsc"
        options = [
            "--noEmit",
            "--strict",
            "--skipLibCheck",
            "--module",
            "nodenext",
            "--moduleResolution",
            "nodenext",
            "--target",
            "es2022",
        ]
        done = subprocess.run(
            ["node", str(compiler), *options, str(path)],
            capture_output=True,
            text=True,
            check=False,
            cwd=packages,
        )
    return done.stdout + done.stderr


def declarations(slug: str, board: dict[str, Any]) -> Iterator[str]:
    """One constant for the board, and one for what each panel's own kind defines."""
    name = slug.replace("-", "_")
    rest = {key: value for key, value in board.items() if key != "annotations"}
    yield f"const {name}: Plain<Omit<Dashboard, 'annotations'>> = {json.dumps(rest)};"
    marks = json.dumps(board["annotations"]["list"])
    yield f"const {name}_marks: Plain<Annotation>[] = {marks};"
    for index, panel in enumerate(item for item in board["panels"] if item["type"] in _OPTIONS):
        yield (
            f"const {name}_{index}: Plain<Partial<{_OPTIONS[panel['type']]}>> ="
            f" {json.dumps(panel.get('options', {}))};"
        )
        if custom := panel.get("fieldConfig", {}).get("defaults", {}).get("custom"):
            kind = "Partial<TableFieldOptions>" if panel["type"] == "table" else "GraphFieldConfig"
            yield f"const {name}_{index}_custom: Plain<{kind}> = {json.dumps(custom)};"


def test_the_types_are_of_the_grafana_that_is_deployed() -> None:
    assert (
        json.loads((HERE / "package.json").read_text())["devDependencies"]["@grafana/schema"]
        == OFFICIAL["grafana"].version
    )


def test_every_dashboard_is_one_that_grafana_knows(packages: Path) -> None:
    """All in one run: the compiler takes seconds to start."""
    boards = {board.slug: json.loads(render(board)) for board in BOARDS}
    assert {panel["type"] for board in boards.values() for panel in board["panels"]} <= {
        "row",
        *_OPTIONS,
    }
    assert (
        compile_(
            packages,
            "\n".join(line for slug, board in boards.items() for line in declarations(slug, board)),
        )
        == ""
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": "blue"}, "colour"),
        ({"title": 7}, "number"),
        (
            {
                "panels": [
                    {"type": "stat", "fieldConfig": {"defaults": {"unit": 3}, "overrides": []}}
                ]
            },
            "number",
        ),
    ],
    ids=["an unknown property", "a wrong type", "a wrong type inside a panel"],
)
def test_a_dashboard_that_is_wrong_is_refused(
    change: dict[str, Any], said: str, packages: Path
) -> None:
    board = {**json.loads(render(BOARDS[0])), **change}
    assert said in compile_(packages, "\n".join(declarations("wrong", board)))
