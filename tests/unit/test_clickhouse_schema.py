"""The analytics schema on the real ClickHouse engine, in-process."""

from collections.abc import Iterator
from typing import Any

import pytest
from chdb import session as chdb

from infra.dashboards import analytics
from infra.services import clickhouse
from infra.settings.stores import Clickhouse
from infra.templating import render
from tests.unit.conftest import make_context

_ORGANISATION = "11111111-1111-1111-1111-111111111111"


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    """An engine of its own with the schema applied."""
    opened: Any = chdb.Session()  # type: ignore[no-untyped-call]
    _apply(opened, clickhouse.schema(make_context()))
    yield opened
    opened.close()


def _apply(session: Any, schema: str) -> None:
    for statement in schema.split(";\n"):
        if statement.strip():
            session.query(statement)


def _ask(session: Any, query: str) -> str:
    return str(session.query(query, "CSV")).strip()


def test_can_be_applied_again(session: Any) -> None:
    """Provisioning runs at every change: the second time is no error, and a new retention takes
    effect.
    """
    _apply(session, clickhouse.schema(make_context(clickhouse={"retention": "30d"})))
    assert "toIntervalDay(30)" in _ask(
        session,
        "SELECT create_table_query FROM system.tables WHERE database = 'analytics' AND name ="
        " 'events'",
    )


def test_partitions_by_month_and_expires(session: Any) -> None:
    found = _ask(
        session,
        "SELECT partition_key FROM system.tables WHERE database = 'analytics' AND name = 'events'",
    )
    assert found == '"toYYYYMM(timestamp)"'


def test_view_counts_what_is_inserted(session: Any) -> None:
    session.query(
        "INSERT INTO analytics.events (organisation_id, user_id, name, duration_ms, cost_usd) "
        f"SELECT '{_ORGANISATION}', toString(number % 7), 'search', number, 0.01 FROM numbers(1000)"
    )
    assert (
        _ask(
            session,
            "SELECT sum(events), sum(cost_usd), uniqMerge(users) FROM analytics.events_hourly",
        )
        == "1000,10,7"
    )
    median = float(
        _ask(
            session,
            "SELECT quantilesMerge(0.5, 0.95, 0.99)(duration_ms)[1] FROM analytics.events_hourly",
        )
    )
    assert 490 < median < 510


def test_aggregates_over_a_million_rows_are_right(session: Any) -> None:
    session.query(
        "INSERT INTO analytics.events (timestamp, organisation_id, user_id, name, duration_ms)"
        " SELECT now64(3) - INTERVAL number % 3600 SECOND, generateUUIDv4(), toString(number),"
        " 'load', 1 FROM numbers(1000000)"
    )
    assert (
        _ask(session, "SELECT sum(events) FROM analytics.events_hourly WHERE name = 'load'")
        == "1000000"
    )


@pytest.mark.parametrize(
    ("days", "kept"),
    [(7300, 1), (36500, 0)],
    ids=["the longest allowed", "a hundred years, which wraps"],
)
def test_a_fresh_event_survives_a_merge_under_the_longest_retention(
    session: Any, days: int, kept: int
) -> None:
    """An expiry beyond 2106 wraps into the past, and the next merge deletes the row; so settings
    end before.
    """
    database = f"kept_{days}_days"
    _apply(
        session,
        render("clickhouse/schema.sql.j2", database=database, days=days, aggregate_days=730),
    )
    for name in ("first", "second"):
        session.query(
            f"INSERT INTO {database}.events (organisation_id, user_id, name) VALUES"
            f" ('{_ORGANISATION}', 'u', '{name}')"
        )
    session.query(f"OPTIMIZE TABLE {database}.events FINAL")
    assert _ask(session, f"SELECT count() FROM {database}.events") == str(2 * kept)


def test_the_longest_retention_is_what_a_stack_may_ask_for() -> None:
    assert (
        make_context(clickhouse={"retention": "7300d"}).settings.of(Clickhouse).retention
        == 7300 * 86400
    )
    with pytest.raises(ValueError, match="less_than_equal"):
        make_context(clickhouse={"retention": "7301d"})


PANELS = [
    pytest.param(query.expression, id=f"{row.title}/{panel.title}")
    for row, panel in analytics.BOARD.panels()
    for query in panel.queries
]


@pytest.fixture(scope="module")
def filled(session: Any) -> Any:
    """Events, runs and evaluations of the last minutes."""
    session.query(
        "INSERT INTO analytics.events (organisation_id, user_id, name, duration_ms, cost_usd)"
        f" SELECT '{_ORGANISATION}', toString(number % 7), 'answer', number, 0.01 FROM numbers(50)"
    )
    session.query(
        "INSERT INTO analytics.agent_runs (organisation_id, user_id, run_id, agent, model, status,"
        f" steps, tokens, duration_ms, cost_usd) SELECT '{_ORGANISATION}', 'u', generateUUIDv4(),"
        " 'planner', 'm', if(number % 5 = 0, 'error', 'success'), number, 100, 20, 0.02"
        " FROM numbers(50)"
    )
    session.query(
        "INSERT INTO analytics.evaluations (organisation_id, user_id, run_id, suite, `case`, model,"
        f" score, passed) SELECT '{_ORGANISATION}', 'u', generateUUIDv4(), 'answers',"
        " toString(number), 'm', number / 50, number > 20 FROM numbers(50)"
    )
    return session


@pytest.mark.parametrize("query", PANELS)
def test_every_panel_of_analytics_has_data(filled: Any, query: str) -> None:
    """The plugin's two macros stand for what its documentation says."""
    asked = query.replace(
        "$__timeInterval(timestamp)", "toStartOfInterval(toDateTime(timestamp), INTERVAL 60 second)"
    ).replace("$__timeFilter(timestamp)", "timestamp >= now() - 900 AND timestamp <= now() + 60")
    filled.query("USE analytics")
    assert "$__" not in asked
    assert len(_ask(filled, asked).splitlines()) >= 1
    assert _ask(filled, asked)


def test_what_failed_is_the_part_that_the_panel_says(filled: Any) -> None:
    assert (
        _ask(filled, "SELECT countIf(status = 'error') / count() FROM analytics.agent_runs")
        == "0.2"
    )


@pytest.mark.parametrize(
    ("table", "column"),
    [("events", "properties"), ("agent_runs", "tokens"), ("evaluations", "score")],
)
def test_columns_are_compressed_and_every_table_expires(
    session: Any, table: str, column: str
) -> None:
    codec = _ask(
        session,
        "SELECT compression_codec FROM system.columns WHERE database = 'analytics'"
        f" AND table = '{table}' AND name = '{column}'",
    )
    assert "ZSTD" in codec
    made = _ask(
        session,
        "SELECT create_table_query FROM system.tables WHERE database = 'analytics'"
        f" AND name = '{table}'",
    )
    assert "TTL" in made


def test_events_by_the_hour_expire_too(session: Any) -> None:
    made = _ask(
        session,
        "SELECT create_table_query FROM system.tables WHERE database = 'analytics'"
        " AND name = 'events_hourly'",
    )
    assert "toIntervalDay(730)" in made
