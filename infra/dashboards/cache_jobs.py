"""Caches and background jobs."""

from infra.dashboards.model import Board, Query, Row, panel, quantile, rate

BOARD = Board(
    "cache-jobs",
    "Cache and Jobs",
    "How well caches hit, and whether background jobs keep up.",
    (
        Row(
            "Redis as a cache",
            (
                panel(
                    "Hit ratio",
                    "Share of lookups that hit; an alert fires below 0.3.",
                    "percentunit",
                    Query('groundwork:cache_hit:ratio{cache="redis"}', "{{service}}"),
                    maximum=1,
                    warn=0.5,
                    alarm=0.3,
                ),
                panel(
                    "Lookups",
                    "Per second.",
                    "ops",
                    Query(rate("redis_keyspace_hits_total", "service"), "{{service}} found"),
                    Query(rate("redis_keyspace_misses_total", "service"), "{{service}} missed"),
                ),
                panel(
                    "Evicted and expired",
                    "Keys removed, per second: evicted for lack of memory, or expired by their"
                    " TTL.",
                    "ops",
                    Query(rate("redis_evicted_keys_total", "service"), "{{service}} evicted"),
                    Query(rate("redis_expired_keys_total", "service"), "{{service}} expired"),
                ),
            ),
            "redis",
        ),
        Row(
            "The application's caches",
            (
                panel(
                    "Hit ratio",
                    "Share of lookups that hit.",
                    "percentunit",
                    Query('groundwork:cache_hit:ratio{cache!="redis"}', "{{service}} {{cache}}"),
                    maximum=1,
                    warn=0.5,
                    alarm=0.3,
                ),
                panel(
                    "Operations",
                    "Per second, by result.",
                    "ops",
                    Query(
                        rate("cache_operations_total", "operation", "result"),
                        "{{operation}} {{result}}",
                    ),
                    stack=True,
                ),
                panel(
                    "Operation duration",
                    "95th-percentile latency.",
                    "s",
                    Query(
                        quantile(0.95, "cache_operation_duration_seconds", "cache", "operation"),
                        "{{cache}} {{operation}} P95",
                    ),
                ),
            ),
            "application",
        ),
        Row(
            "Jobs",
            (
                panel(
                    "Finished",
                    "Per second, by outcome.",
                    "ops",
                    Query(rate("jobs_total", "queue", "status"), "{{queue}} {{status}}"),
                    stack=True,
                ),
                panel(
                    "Waiting",
                    "Not yet started.",
                    "short",
                    Query("sum by (service, queue) (jobs_waiting)", "{{service}} {{queue}}"),
                ),
                panel(
                    "Job duration",
                    "Median and 95th percentile.",
                    "s",
                    Query(quantile(0.5, "job_duration_seconds", "queue"), "{{queue}} P50"),
                    Query(quantile(0.95, "job_duration_seconds", "queue"), "{{queue}} P95"),
                ),
                panel(
                    "Failure rate",
                    "Share of all jobs.",
                    "percentunit",
                    Query(
                        'sum by (queue) (rate(jobs_total{status="error"}[5m])) / sum by (queue)'
                        " (rate(jobs_total[5m]))",
                        "{{queue}}",
                    ),
                    maximum=1,
                    warn=0.05,
                    alarm=0.2,
                ),
                panel(
                    "Documents",
                    "Processed per second, by outcome.",
                    "ops",
                    Query(
                        rate("documents_processed_total", "type", "status"), "{{type}} {{status}}"
                    ),
                    stack=True,
                ),
                panel(
                    "Document processing time",
                    "95th-percentile latency.",
                    "s",
                    Query(
                        quantile(0.95, "document_processing_duration_seconds", "type"),
                        "{{type}} P95",
                    ),
                ),
            ),
            "application",
        ),
        Row(
            "Redis as a queue",
            (
                panel(
                    "Memory usage vs. limit",
                    "At 1 it refuses writes; it never evicts a job.",
                    "percentunit",
                    Query(
                        'redis_memory_used_bytes{service=~"redis-queue|redis"} /'
                        " redis_memory_max_bytes",
                        "{{service}}",
                    ),
                    maximum=1,
                    warn=0.7,
                    alarm=0.9,
                ),
                panel(
                    "Waiting for a message",
                    "Clients blocked on a list or stream.",
                    "short",
                    Query('redis_blocked_clients{service=~"redis-queue|redis"}', "{{service}}"),
                ),
                panel(
                    "Channels",
                    "With at least one subscriber.",
                    "short",
                    Query('redis_pubsub_channels{service=~"redis-queue|redis"}', "{{service}}"),
                ),
            ),
            "redis",
        ),
    ),
)
