"""Latency, errors and tokens of models, at LiteLLM and in the application."""

from infra.dashboards.model import Board, Query, Row, panel, quantile, rate

_CHAT = '{route=~".*completions|.*embeddings|.*messages|.*responses"}'
_GOOD = '{status="success"}'
_HITS, _MISSES = (
    f"sum(increase(litellm_cache_{name}_metric_total[1h]))" for name in ("hits", "misses")
)
_CACHED = f"{_HITS} / ({_HITS} + {_MISSES})"

BOARD = Board(
    "ai-models",
    "AI Models Performance",
    (
        "How fast and how reliably models respond, which providers answer, and how many tokens"
        " they use."
    ),
    (
        Row(
            "LiteLLM",
            (
                panel(
                    "Requests",
                    "Per second, by status.",
                    "reqps",
                    Query(
                        rate(
                            "litellm_proxy_total_requests_metric_total", "status_code", where=_CHAT
                        ),
                        "{{status_code}}",
                    ),
                    stack=True,
                ),
                panel(
                    "Response time",
                    "Of the whole request, by model.",
                    "s",
                    Query(
                        quantile(0.5, "litellm_request_total_latency_metric", "model"),
                        "{{model}} P50",
                    ),
                    Query(
                        quantile(0.95, "litellm_request_total_latency_metric", "model"),
                        "{{model}} P95",
                    ),
                ),
                panel(
                    "Provider latency",
                    "Excluding LiteLLM's overhead.",
                    "s",
                    Query(
                        quantile(0.95, "litellm_llm_api_latency_metric", "model"), "{{model}} P95"
                    ),
                ),
                panel(
                    "Time to first token",
                    "For streamed responses.",
                    "s",
                    Query(
                        quantile(0.95, "litellm_llm_api_time_to_first_token_metric", "model"),
                        "{{model}} P95",
                    ),
                ),
                panel(
                    "LiteLLM overhead",
                    "Latency that the gateway adds to a request.",
                    "s",
                    Query(quantile(0.95, "litellm_overhead_latency_metric"), "P95"),
                ),
                panel(
                    "Requests in flight",
                    "At this moment.",
                    "short",
                    Query("sum(litellm_in_flight_requests)", "in flight"),
                ),
            ),
            "litellm",
        ),
        Row(
            "Provider chain",
            (
                panel(
                    "State",
                    "0 healthy, 1 partial outage, 2 complete outage.",
                    "short",
                    Query(
                        "max by (litellm_model_name, api_provider) (litellm_deployment_state)",
                        "{{api_provider}} {{litellm_model_name}}",
                    ),
                    maximum=2,
                    warn=1,
                    alarm=2,
                ),
                panel(
                    "Responses and failures",
                    "Per second, by provider.",
                    "reqps",
                    Query(
                        rate("litellm_deployment_success_responses_total", "api_provider"),
                        "{{api_provider}} answered",
                    ),
                    Query(
                        rate(
                            "litellm_deployment_failure_responses_total",
                            "api_provider",
                            where='{api_provider!=""}',
                        ),
                        "{{api_provider}} failed",
                    ),
                ),
                panel(
                    "Cooldowns",
                    "How often a provider was suspended after failures, in the last hour.",
                    "short",
                    Query(
                        "sum by (api_provider)"
                        " (increase(litellm_deployment_cooled_down_total[1h]))",
                        "{{api_provider}}",
                    ),
                ),
            ),
            "litellm",
        ),
        Row(
            "Tokens",
            (
                panel(
                    "Tokens",
                    "Per second, in and out.",
                    "short",
                    Query(rate("litellm_input_tokens_metric_total", "model"), "{{model}} in"),
                    Query(rate("litellm_output_tokens_metric_total", "model"), "{{model}} out"),
                    stack=True,
                    width=12,
                ),
                panel(
                    "Cache hit ratio",
                    "Share of requests answered from the cache, at no cost.",
                    "percentunit",
                    Query(
                        _CACHED,
                        "hits",
                    ),
                    maximum=1,
                    width=12,
                ),
            ),
            "litellm",
        ),
        Row(
            "As seen by the application",
            (
                panel(
                    "Requests",
                    "Per second, by outcome.",
                    "reqps",
                    Query(
                        rate("ai_requests_total", "service", "model", "status"),
                        "{{model}} {{status}}",
                    ),
                    stack=True,
                ),
                panel(
                    "Response time",
                    "Median and 95th percentile.",
                    "s",
                    Query(quantile(0.5, "ai_request_duration_seconds", "model"), "{{model}} P50"),
                    Query(quantile(0.95, "ai_request_duration_seconds", "model"), "{{model}} P95"),
                ),
                panel(
                    "Failure rate",
                    "Share of all requests.",
                    "percentunit",
                    Query(
                        f"1 - {rate('ai_requests_total', 'provider', where=_GOOD)} /"
                        f" {rate('ai_requests_total', 'provider')}",
                        "{{provider}}",
                    ),
                    maximum=1,
                    warn=0.05,
                    alarm=0.2,
                ),
                panel(
                    "Tokens",
                    "Per second, by kind.",
                    "short",
                    Query(rate("ai_tokens_total", "model", "type"), "{{model}} {{type}}"),
                    stack=True,
                ),
                panel(
                    "Circuit breakers",
                    "0 closed, 1 half-open, 2 open (provider no longer called).",
                    "short",
                    Query(
                        "max by (service, provider) (ai_circuit_breaker_state)",
                        "{{service}} {{provider}}",
                    ),
                    maximum=2,
                    warn=1,
                    alarm=2,
                ),
                panel(
                    "Document vectors",
                    "Time to compute them for one document.",
                    "s",
                    Query(
                        quantile(0.95, "document_vectorization_duration_seconds", "model"),
                        "{{model}} P95",
                    ),
                ),
            ),
            "application",
        ),
    ),
)
