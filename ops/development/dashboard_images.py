"""Pictures of the dashboards without Grafana: each panel's queries, run against the deployed stack
and drawn as PNG.

Each is labelled as not being a screenshot.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from infra.dashboards import BOARDS
from infra.dashboards.model import Board, Panel
from ops import console
from ops.paths import ROOT

FOLDER = ROOT / "docs" / "pictures"
_LABEL = (
    "Live data of the panels' own queries, drawn by `make pictures`. Not a screenshot of Grafana."
)
_INK, _GRID, _PAPER = "#d8d9da", "#33363c", "#181b1f"


def draw(environment: dict[str, str], *, minutes: int) -> list[Path]:
    """One file for each metrics dashboard that has data: the last minutes of the deployed stack."""
    FOLDER.mkdir(exist_ok=True)
    auth = (environment["PROMETHEUS_USER"], environment["PROMETHEUS_PASSWORD"])
    drawn = []
    with httpx.Client(base_url=environment["PROMETHEUS_URL"], auth=auth, timeout=20) as client:
        for board in BOARDS:
            panels = [
                (row.title, panel, found)
                for row, panel in board.panels()
                if panel.source != "clickhouse" and (found := list(_series(client, panel, minutes)))
            ]
            if panels:
                drawn.append(_page(board, panels))
                console.out.print(f"Drew {drawn[-1].relative_to(ROOT)}: {len(panels)} panels.")
    return drawn


def _series(
    client: httpx.Client, panel: Panel, minutes: int
) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Each series of a panel with its name in the legend."""
    if panel.source != "prometheus":
        return
    end = time.time()
    for query in panel.queries:
        asked = {
            "query": query.expression.replace("$__rate_interval", "1m"),
            "start": str(end - 60 * minutes),
            "end": str(end),
            "step": "10",
        }
        answer = client.get("/api/v1/query_range", params=asked)
        answer.raise_for_status()
        for item in answer.json()["data"]["result"]:
            values = [
                (float(when), float(value)) for when, value in item["values"] if value != "NaN"
            ]
            if values:
                yield _named(query.legend, item["metric"]), values


def _named(legend: str, labels: dict[str, str]) -> str:
    for label, value in labels.items():
        legend = legend.replace(f"{{{{{label}}}}}", value)
    return legend.replace("{{service}}", "").strip()


def _page(
    board: Board, panels: list[tuple[str, Panel, list[tuple[str, list[tuple[float, float]]]]]]
) -> Path:
    # Imported here: only who draws needs it.
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    columns = 3
    rows = -(-len(panels) // columns)
    figure, grid = pyplot.subplots(
        rows, columns, figsize=(16, 2.6 * rows + 1), squeeze=False, facecolor=_PAPER
    )
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (row, panel, series) in zip(grid.flat, panels, strict=False):
        _panel(axes, row, panel, series)
    figure.suptitle(f"{board.title}: {board.purpose}", color=_INK, fontsize=13)
    figure.text(0.5, 0.004, _LABEL, color=_INK, fontsize=9, ha="center")
    figure.tight_layout(rect=(0, 0.015, 1, 0.985))
    path = FOLDER / f"{board.slug}.png"
    figure.savefig(path, dpi=70, metadata={"Description": _LABEL})
    pyplot.close(figure)
    return path


def _panel(
    axes: Any, row: str, panel: Panel, series: list[tuple[str, list[tuple[float, float]]]]
) -> None:
    axes.set_facecolor(_PAPER)
    axes.set_title(f"{row} · {panel.title} ({panel.unit})", color=_INK, fontsize=9, loc="left")
    for name, values in series[:8]:
        axes.plot(
            [datetime.fromtimestamp(when, UTC) for when, _ in values],
            [value for _, value in values],
            linewidth=1.2,
            label=name or None,
        )
    axes.tick_params(colors=_INK, labelsize=7)
    axes.grid(color=_GRID, linewidth=0.5)
    for spine in axes.spines.values():
        spine.set_color(_GRID)
    axes.xaxis.set_major_formatter(_clock())
    axes.set_ylim(bottom=0, top=panel.maximum * 1.05 if panel.maximum else None)
    if any(name for name, _ in series):
        axes.legend(
            fontsize=6,
            ncols=2,
            loc="upper left",
            facecolor=_PAPER,
            edgecolor=_GRID,
            labelcolor=_INK,
        )


def _clock() -> Any:
    from matplotlib.dates import DateFormatter

    return DateFormatter("%H:%M")  # type: ignore[no-untyped-call]
