"""The vocabulary of dashboards: a board has rows, a row panels, a panel queries.

Descriptions stay short because everything that panels have in common is in `render`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["timeseries", "stat", "gauge", "bars", "logs", "table"]
Source = Literal["prometheus", "loki", "clickhouse"]

SQL_PLUGIN = "grafana-clickhouse-datasource"
"""Grafana's plugin for ClickHouse."""

INTERVAL = "$__rate_interval"
"""Grafana's variable for a range that holds at least four samples."""


@dataclass(frozen=True, slots=True)
class Query:
    """One expression and the name of its series; `{{label}}` in a legend is the label's value."""

    expression: str
    legend: str = "{{service}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel. `purpose` is one line; `unit` is one of Grafana's; `width` is of 24 columns."""

    title: str
    purpose: str
    unit: str
    queries: tuple[Query, ...]
    kind: Kind = "timeseries"
    source: Source = "prometheus"
    width: int = 8
    height: int = 7
    stack: bool = False
    warn: float | None = None
    alarm: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels with one subject. `needs` names the service without which they would be empty."""

    title: str
    panels: tuple[Panel, ...]
    needs: str | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard; its uid is `groundwork-<slug>`, so that links stay."""

    slug: str
    title: str
    purpose: str
    rows: tuple[Row, ...]

    @property
    def uid(self) -> str:
        """The uid that Grafana and links use."""
        return f"groundwork-{self.slug}"

    def panels(self) -> Iterator[tuple[Row, Panel]]:
        """Each panel with its row."""
        for row in self.rows:
            for panel in row.panels:
                yield row, panel

    def of(self, present: frozenset[str]) -> "Board":
        """The same board with only the rows whose service is present."""
        return Board(
            self.slug,
            self.title,
            self.purpose,
            tuple(row for row in self.rows if row.needs is None or row.needs in present),
        )


def panel(title: str, purpose: str, unit: str, *queries: Query | str, **more: object) -> Panel:
    """A panel; the series of a plain-string query are named by service."""
    asked = tuple(query if isinstance(query, Query) else Query(query) for query in queries)
    options: Any = more
    return Panel(title=title, purpose=purpose, unit=unit, queries=asked, **options)


def quantile(of: float, histogram: str, *by: str, where: str = "") -> str:
    """A quantile of a histogram over the panel's interval."""
    labels = ", ".join(("le", *by))
    return (
        f"histogram_quantile({of}, sum by ({labels}) (rate({histogram}_bucket{where}[{INTERVAL}])))"
    )


def rate(counter: str, *by: str, where: str = "") -> str:
    """Events per second over the panel's interval."""
    return f"sum by ({', '.join(by)}) (rate({counter}{where}[{INTERVAL}]))"
