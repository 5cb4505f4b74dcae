"""What holds for every dashboard, panel and query."""

import json
import re
from typing import Any

import pytest

from infra.contract import METRICS
from infra.dashboards import APPLICATION, BOARDS, analytics, present
from infra.dashboards.model import Board, Panel
from infra.dashboards.render import render
from infra.services.prometheus_rules import rule_files
from tests.unit.conftest import make_platform, make_settings

ALL = [
    (f"{board.slug}/{row.title}/{panel.title}", row, panel)
    for board in BOARDS
    for row, panel in board.panels()
]
PANELS = [pytest.param(panel, id=name) for name, _, panel in ALL]
OF_APPLICATIONS = [
    pytest.param(panel, id=name) for name, row, panel in ALL if row.needs == APPLICATION
]
CONTRACT = {name for metric in METRICS for name in metric.series}
UNITS = {"pps", "short", "percentunit", "bytes", "Bps", "s", "reqps", "ops", "currencyUSD"}


def test_what_was_promised_is_there() -> None:
    titles = [
        "System Health",
        "AI Models Performance",
        "Agents and Evaluations",
        "Events",
        "Analytics",
        "Database Metrics",
        "Cost Tracking",
        "Cache and Jobs",
        "Vector Search",
        "Logs",
    ]
    assert [board.title for board in BOARDS] == titles


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.slug)
class TestEveryBoard:
    """As Grafana gets it."""

    def test_is_the_same_twice(self, board: Board) -> None:
        assert render(board) == render.__wrapped__(board)

    def test_says_what_it_is_for_and_cannot_be_edited(self, board: Board) -> None:
        made = json.loads(render(board))
        assert made["description"] == board.purpose
        assert made["editable"] is False
        assert made["uid"] == f"groundwork-{board.slug}"

    def test_panels_do_not_overlap(self, board: Board) -> None:
        places = [(item["title"], item["gridPos"]) for item in json.loads(render(board))["panels"]]
        cells: dict[tuple[int, int], tuple[str, ...]] = {}
        for title, place in places:
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    cells[x, y] = (*cells.get((x, y), ()), title)
        assert {titles for titles in cells.values() if len(titles) > 1} == set()

    def test_panels_fit_the_width(self, board: Board) -> None:
        places = [(item["title"], item["gridPos"]) for item in json.loads(render(board))["panels"]]
        assert [title for title, place in places if place["x"] + place["w"] > 24] == []

    def test_every_row_tells_its_service(self, board: Board) -> None:
        known = {service.name for service in make_platform().services} | {
            "redis",
            "containers",
            APPLICATION,
            analytics.NEEDS,
        }
        assert {row.needs for row in board.rows} - {None} <= known


@pytest.mark.parametrize("panel", PANELS)
class TestEveryPanel:
    """Its words, its unit, its queries."""

    def test_has_a_purpose_and_a_unit(self, panel: Panel) -> None:
        assert panel.purpose.endswith(".")
        assert panel.unit in UNITS
        assert panel.queries

    def test_hides_no_emptiness(self, panel: Panel) -> None:
        assert [
            query.expression
            for query in panel.queries
            if "vector(0)" in query.expression or "absent(" in query.expression
        ] == []


@pytest.mark.parametrize("panel", OF_APPLICATIONS)
def test_the_applications_metrics_are_those_of_the_contract(panel: Panel) -> None:
    names = {
        name
        for query in panel.queries
        for name in re.findall(
            r"\b((?:ai|documents?|vector|cache|jobs?|http)_[a-z_]+)\b(?=[\[{)\s]|$)",
            query.expression,
        )
    }
    assert names - CONTRACT - {"cache"} == set()


def test_rules_read_only_metrics_of_the_contract() -> None:
    text = "\n".join(path.read_text() for path in rule_files())
    names = set(
        re.findall(
            r"\b((?:ai|documents|vector|cache|jobs|http)_[a-z_]+(?:_total|_bucket|_state))\b", text
        )
    )
    assert names
    assert names <= CONTRACT


@pytest.mark.parametrize(
    ("keys", "slug", "title", "shown"),
    [
        ({}, "databases", "Qdrant", True),
        ({"images": "packages"}, "databases", "Qdrant", False),
        ({"minio": {"enabled": False}}, "databases", "MinIO", False),
        ({"exporters": {"postgres": {"enabled": False}}}, "databases", "Postgres", False),
        ({"alloy": {"enabled": False}}, "logs", "Everything", False),
        ({"exporters": {"containers": {"enabled": False}}}, "system-health", "Containers", False),
        ({}, "system-health", "Application", True),
    ],
)
def test_rows_of_what_is_not_there_are_left_out(
    keys: dict[str, Any], slug: str, title: str, shown: bool
) -> None:
    there = present(make_settings(**keys), make_platform(**keys).services)
    board = next(board for board in BOARDS if board.slug == slug).of(there)
    assert (title in [row.title for row in board.rows]) == shown
