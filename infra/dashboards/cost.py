"""Cost of models, against the budget."""

from infra.dashboards.model import Board, Query, Row, panel, rate

BOARD = Board(
    "cost",
    "Cost Tracking",
    "Model cost over the last day, who spent it, and the remaining budget.",
    (
        Row(
            "Budget",
            (
                panel(
                    "Spent in 24 hours",
                    "As counted by each service; an application's requests through LiteLLM appear"
                    " in both.",
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
                    "Budget used",
                    "At 1 an alert fires and LiteLLM refuses requests.",
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
                    "Over the last 24 hours.",
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
            "This month",
            (
                panel(
                    "Spent this month",
                    "Since the first of the month, UTC, by LiteLLM's own count.",
                    "currencyUSD",
                    "groundwork:ai_spend_usd:month",
                    kind="stat",
                    width=4,
                    height=5,
                ),
                panel(
                    "Forecast",
                    "At the rate of the month so far.",
                    "currencyUSD",
                    "groundwork:ai_spend_usd:month_forecast",
                    kind="stat",
                    width=4,
                    height=5,
                ),
                panel(
                    "Saved by the cache",
                    "What this month's cached answers would have cost.",
                    "currencyUSD",
                    "sum by (service) (max by (service, application) (ai_saved_this_month_usd))",
                    kind="stat",
                    width=4,
                    height=5,
                ),
                panel(
                    "By application",
                    "This month.",
                    "currencyUSD",
                    Query("max by (application) (ai_spent_this_month_usd)", "{{application}}"),
                    kind="stat",
                    width=12,
                    height=5,
                ),
                panel(
                    "By day",
                    "The last thirteen months; kept in Redis, longer than Prometheus keeps series.",
                    "currencyUSD",
                    Query("max by (day) (ai_spent_day_usd)", "{{day}}"),
                    kind="bars",
                    width=16,
                ),
                panel(
                    "By month",
                    "The last thirteen months.",
                    "currencyUSD",
                    Query("max by (month) (ai_spent_month_usd)", "{{month}}"),
                    kind="bars",
                    width=8,
                ),
            ),
            "litellm",
        ),
        Row(
            "LiteLLM",
            (
                panel(
                    "Spend rate",
                    "US dollars per hour, by provider and model.",
                    "currencyUSD",
                    Query(
                        f"3600 * {rate('litellm_spend_metric_total', 'api_provider', 'model')}",
                        "{{api_provider}} {{model}}",
                    ),
                ),
                panel(
                    "By team",
                    "Over the last 24 hours.",
                    "currencyUSD",
                    Query(
                        "sum by (team_alias) (increase(litellm_spend_metric_total[24h]))",
                        "{{team_alias}}",
                    ),
                ),
                panel(
                    "Remaining budget by provider",
                    "Without a database, LiteLLM enforces the budget per provider.",
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
            "As counted by the application",
            (
                panel(
                    "Spend rate",
                    "US dollars per hour, by model.",
                    "currencyUSD",
                    Query(
                        f"3600 * {rate('ai_cost_usd_total', 'service', 'model')}",
                        "{{service}} {{model}}",
                    ),
                    width=12,
                ),
                panel(
                    "Cost per 1,000 tokens",
                    "Average over the last hour, by model.",
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
