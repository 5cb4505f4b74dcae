"""Cost of models, against the budget."""

from infra.dashboards.model import Board, Query, Row, panel, rate

BOARD = Board(
    "cost",
    "Cost Tracking",
    "What models cost within a day, who spent it, and how much of the budget is left.",
    (
        Row(
            "Budget",
            (
                panel(
                    "Spent in 24 hours",
                    "As each service counts it: what an application asks through LiteLLM stands in"
                    " both.",
                    "currencyUSD",
                    "sum by (service) (groundwork:ai_spend_usd:24h)",
                    kind="stat",
                    width=6,
                    height=5,
                ),
                panel(
                    "Daily budget",
                    "groundwork:litellm.dailyBudgetUsd.",
                    "currencyUSD",
                    Query("groundwork:ai_budget_usd:daily", "budget"),
                    kind="stat",
                    width=6,
                    height=5,
                ),
                panel(
                    "Part of the budget",
                    "At 1 it alerts, and LiteLLM refuses.",
                    "percentunit",
                    "sum by (service) (groundwork:ai_spend_usd:24h) / on () group_left ()"
                    " groundwork:ai_budget_usd:daily",
                    kind="gauge",
                    width=12,
                    height=5,
                    warn=0.8,
                    alarm=1,
                    maximum=1,
                ),
            ),
        ),
        Row(
            "Over time",
            (
                panel(
                    "Spent in 24 hours",
                    "Against the budget.",
                    "currencyUSD",
                    "sum by (service) (groundwork:ai_spend_usd:24h)",
                    Query("groundwork:ai_budget_usd:daily", "budget"),
                    width=12,
                ),
                panel(
                    "By model",
                    "Of the last 24 hours.",
                    "currencyUSD",
                    Query(
                        "sum by (service, model) (groundwork:ai_spend_usd:24h)",
                        "{{service}} {{model}}",
                    ),
                    width=12,
                ),
            ),
        ),
        Row(
            "LiteLLM",
            (
                panel(
                    "Rate of spend",
                    "US dollars an hour, by provider.",
                    "currencyUSD",
                    Query(
                        f"3600 * {rate('litellm_spend_metric_total', 'api_provider', 'model')}",
                        "{{api_provider}} {{model}}",
                    ),
                ),
                panel(
                    "By team",
                    "Of the last 24 hours.",
                    "currencyUSD",
                    Query(
                        "sum by (team_alias) (increase(litellm_spend_metric_total[24h]))",
                        "{{team_alias}}",
                    ),
                ),
                panel(
                    "Left of each provider's budget",
                    "Where LiteLLM keeps no database, it holds the budget for each provider.",
                    "currencyUSD",
                    Query(
                        "min by (api_provider) (litellm_provider_remaining_budget_metric)",
                        "{{api_provider}}",
                    ),
                    warn=0.5,
                    alarm=0.1,
                ),
            ),
            "litellm",
        ),
        Row(
            "As the application counts it",
            (
                panel(
                    "Rate of spend",
                    "US dollars an hour, by model.",
                    "currencyUSD",
                    Query(
                        f"3600 * {rate('ai_cost_usd_total', 'service', 'model')}",
                        "{{service}} {{model}}",
                    ),
                    width=12,
                ),
                panel(
                    "Cost of a thousand tokens",
                    "What the mix of models comes to.",
                    "currencyUSD",
                    Query(
                        "1000 * sum by (model) (rate(ai_cost_usd_total[1h])) / sum by (model)"
                        " (rate(ai_tokens_total[1h]))",
                        "{{model}}",
                    ),
                    width=12,
                ),
            ),
            "application",
        ),
    ),
)
