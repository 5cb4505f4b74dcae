"""Caches and what is done in the background."""

from infra.dashboards.model import Board, Query, Row, panel, quantile, rate

BOARD = Board(
    "cache-jobs",
    "Cache and Jobs",
    "Whether caches find what they are asked for, and whether background work keeps up.",
    (
        Row(
            "Redis as a cache",
            (
                panel(
                    "Hit ratio",
                    "Part of the look-ups that found something; below 0.3 it alerts.",
                    "percentunit",
                    Query('groundwork:cache_hit:ratio{cache="redis"}', "{{service}}"),
                    maximum=1,
                    warn=0.5,
                    alarm=0.3,
                ),
                panel(
                    "Look-ups",
                    "Per second.",
                    "ops",
                    Query(rate("redis_keyspace_hits_total", "service"), "{{service}} found"),
                    Query(rate("redis_keyspace_misses_total", "service"), "{{service}} missed"),
                ),
                panel(
                    "Evicted and expired",
                    "Keys that went, per second: evicted for want of memory, expired by their own"
                    " date.",
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
                    "Part of the look-ups that found something.",
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
                    "Time of an operation",
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
                    "Ended",
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
                    "Time of a job",
                    "Half of the jobs, and all but one in twenty, are faster.",
                    "s",
                    Query(quantile(0.5, "job_duration_seconds", "queue"), "{{queue}} P50"),
                    Query(quantile(0.95, "job_duration_seconds", "queue"), "{{queue}} P95"),
                ),
                panel(
                    "Part that fails",
                    "Of all jobs.",
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
                    "Taken in per second, by outcome.",
                    "ops",
                    Query(
                        rate("documents_processed_total", "type", "status"), "{{type}} {{status}}"
                    ),
                    stack=True,
                ),
                panel(
                    "Time of a document",
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
            "The queue's Redis",
            (
                panel(
                    "Memory of the limit",
                    "At 1 it refuses: it never evicts a job.",
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
                    "Clients that block on a list or stream.",
                    "short",
                    Query('redis_blocked_clients{service=~"redis-queue|redis"}', "{{service}}"),
                ),
                panel(
                    "Channels",
                    "With at least one listener.",
                    "short",
                    Query('redis_pubsub_channels{service=~"redis-queue|redis"}', "{{service}}"),
                ),
            ),
            "redis",
        ),
    ),
)
