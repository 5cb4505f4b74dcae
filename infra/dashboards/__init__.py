"""The dashboards, one module each."""

from infra.dashboards import ai_models, cache_jobs, cost, databases, logs, system_health, vector_search
from infra.dashboards.model import Board

BOARDS: tuple[Board, ...] = tuple(
    module.BOARD for module in (system_health, ai_models, databases, cost, cache_jobs, vector_search, logs)
)  # fmt: skip
