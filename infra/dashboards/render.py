"""Turns descriptions into Grafana's JSON with Grafana's own typed builders."""

from functools import cache
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    gauge,
    logs,
    loki,
    prometheus,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as shared
from grafana_foundation_sdk.models import dashboard as models

from infra.dashboards.model import SQL_PLUGIN, Board, Panel, Query

ANNOTATIONS = (
    (
        "Alerts",
        'ALERTS{alertstate="firing", severity!="none"}',
        "{{alertname}} {{service}}",
        "red",
    ),
    # A deploy starts what it changes.
    (
        "Starts",
        "changes(groundwork:container_start_time_seconds[1m]) > 0",
        "{{service}} started",
        "blue",
    ),
)
"""What every board marks in its panels: name, query, title and colour."""


class _Table(table.Panel):
    """A table without a footer, which the deployed Grafana does not know any more."""

    def build(self) -> models.Panel:
        """The panel."""
        built = super().build()
        options: Any = built.options
        options.footer = None
        return built


_BUILDERS: dict[str, Any] = {
    "timeseries": timeseries.Panel,
    "stat": stat.Panel,
    "gauge": gauge.Panel,
    "bars": bargauge.Panel,
    "logs": logs.Panel,
    "table": _Table,
}


@cache
def render(board: Board) -> str:
    """The board as a file for Grafana's provisioning; the same text for the same board."""
    built = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.purpose)
        .tags(["groundwork"])
        .readonly()
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Groundwork")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["groundwork"])
            .as_dropdown(True)
        )
    )
    for name, expression, title, colour in ANNOTATIONS:
        built = built.annotation(
            dashboard.AnnotationQuery()
            .name(name)
            .datasource(shared.DataSourceRef(type_val="prometheus", uid="prometheus"))
            .enable(True)
            .expr(expression)
            .title_format(title)
            .step("60s")
            .icon_color(colour)
        )
    for row in board.rows:
        built = built.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            built = built.with_panel(_panel(panel))
    return JSONEncoder(sort_keys=True, indent=2).encode(built.build()) + "\n"


def _panel(panel: Panel) -> Any:
    built = (
        _BUILDERS[panel.kind]()
        .title(panel.title)
        .description(panel.purpose)
        .datasource(_source(panel))
        .span(panel.width)
        .height(panel.height)
    )
    if panel.kind == "logs":
        built = built.show_time(True).wrap_log_message(True).enable_log_details(True)
    else:
        built = built.unit(panel.unit).thresholds(_thresholds(panel))
        if panel.maximum is not None:
            built = built.min(0).max(panel.maximum)
    if panel.kind == "timeseries":
        built = _lines(built, panel)
    if panel.kind in ("stat", "gauge", "bars"):
        built = built.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    for index, query in enumerate(panel.queries):
        built = built.with_target(_target(panel, query, chr(ord("A") + index)))
    return built


def _lines(built: Any, panel: Panel) -> Any:
    built = built.legend(
        common.VizLegendOptions()
        .display_mode(shared.LegendDisplayMode.LIST)
        .placement(shared.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    built = (
        built.line_width(1)
        .fill_opacity(25 if panel.stack else 8)
        .show_points(shared.VisibilityMode.NEVER)
    )
    if panel.maximum is None:
        built = built.min(0)
    if panel.stack:
        built = built.stacking(common.StackingConfig().mode(shared.StackingMode.NORMAL))
    return built


def _thresholds(panel: Panel) -> Any:
    # A lower alarm than warning means that little is bad.
    marks = [(panel.warn, "orange"), (panel.alarm, "red")]
    steps = [(value, colour) for value, colour in marks if value is not None]
    base = "green"
    if panel.warn is not None and panel.alarm is not None and panel.alarm < panel.warn:
        base, steps = "red", [(panel.alarm, "orange"), (panel.warn, "green")]
    found = [
        models.Threshold(value=None, color=base),
        *(models.Threshold(value=value, color=colour) for value, colour in steps),
    ]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)


class _Sql:
    """A query of the ClickHouse plugin, of which the builders have none."""

    def __init__(self, panel: Panel, query: Query, name: str) -> None:
        series = panel.kind == "timeseries"
        self._built: dict[str, object] = {
            "datasource": {"type": SQL_PLUGIN, "uid": "clickhouse"},
            "editorType": "sql",
            "format": 0 if series else 1,
            "queryType": "timeseries" if series else "table",
            "rawSql": query.expression,
            "refId": name,
        }

    def build(self) -> "_Sql":
        """Itself: there is nothing more to say."""
        return self

    def to_json(self) -> dict[str, object]:
        """As the plugin reads it."""
        return self._built


def _target(panel: Panel, query: Query, name: str) -> Any:
    if panel.source == "clickhouse":
        return _Sql(panel, query, name)
    kind: Any = loki.Dataquery if panel.source == "loki" else prometheus.Dataquery
    built = (
        kind()
        .expr(query.expression)
        .legend_format(query.legend)
        .ref_id(name)
        .datasource(_source(panel))
    )
    if panel.source == "loki":
        return built
    # A sample of a histogram may name the trace of one request.
    return (
        built.range().exemplar("_bucket" in query.expression)
        if panel.kind == "timeseries"
        else built.instant()
    )


def _source(panel: Panel) -> Any:
    # A source's uid is its kind: there is one of each.
    kind = SQL_PLUGIN if panel.source == "clickhouse" else panel.source
    return shared.DataSourceRef(type_val=kind, uid=panel.source)
