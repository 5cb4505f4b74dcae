"""Each store: what it does, how much it holds, what it waits for."""

from infra.dashboards.model import INTERVAL, Board, Query, Row, panel, quantile, rate

_OWN = '{datname!~"template.*|"}'
_HIT, _READ = (
    f"sum by (datname) (rate(pg_stat_database_blks_{name}{_OWN}[5m]))" for name in ("hit", "read")
)

BOARD = Board(
    "databases",
    "Database Metrics",
    "Each store's activity, size and waits.",
    (
        Row(
            "Postgres",
            (
                panel(
                    "Connections",
                    "By state, and the limit.",
                    "short",
                    Query("sum by (state) (pg_stat_activity_count)", "{{state}}"),
                    Query("max(pg_settings_max_connections)", "limit"),
                ),
                panel(
                    "Transactions",
                    "Per second, by database.",
                    "ops",
                    Query(
                        rate("pg_stat_database_xact_commit", "datname", where=_OWN),
                        "{{datname}} committed",
                    ),
                    Query(
                        rate("pg_stat_database_xact_rollback", "datname", where=_OWN),
                        "{{datname}} rolled back",
                    ),
                ),
                panel(
                    "Cache hit ratio",
                    "Share of blocks found in the buffer cache.",
                    "percentunit",
                    Query(
                        f"{_HIT} / ({_HIT} + {_READ} > 0)",
                        "{{datname}}",
                    ),
                    maximum=1,
                ),
                panel(
                    "Size",
                    "Of each database.",
                    "bytes",
                    Query(f"pg_database_size_bytes{_OWN}", "{{datname}}"),
                ),
                panel(
                    "Time per statement",
                    "Mean over all statements in the interval.",
                    "s",
                    Query(
                        f"{rate('pg_stat_statements_seconds_total', 'datname')} /"
                        f" ({rate('pg_stat_statements_calls_total', 'datname')} > 0)",
                        "{{datname}}",
                    ),
                ),
                panel(
                    "Rows",
                    "Written and read, per second.",
                    "ops",
                    Query(
                        rate("pg_stat_database_tup_inserted", "datname", where=_OWN),
                        "{{datname}} inserted",
                    ),
                    Query(
                        rate("pg_stat_database_tup_updated", "datname", where=_OWN),
                        "{{datname}} updated",
                    ),
                    Query(
                        rate("pg_stat_database_tup_fetched", "datname", where=_OWN),
                        "{{datname}} read",
                    ),
                ),
                panel(
                    "Locks",
                    "Locks held, by mode.",
                    "short",
                    Query("sum by (mode) (pg_locks_count) > 0", "{{mode}}"),
                ),
                panel(
                    "Deadlocks",
                    "In the last hour.",
                    "short",
                    Query(
                        f"sum by (datname) (increase(pg_stat_database_deadlocks{_OWN}[1h]))",
                        "{{datname}}",
                    ),
                ),
                panel(
                    "Longest transaction",
                    "Age of the oldest open transaction.",
                    "s",
                    Query(
                        f"max by (datname) (pg_stat_activity_max_tx_duration{_OWN})", "{{datname}}"
                    ),
                    warn=60,
                    alarm=600,
                ),
            ),
            "postgres",
        ),
        Row(
            "Redis",
            (
                panel(
                    "Memory usage vs. limit",
                    "At 1 the cache evicts keys and the queue refuses writes.",
                    "percentunit",
                    "redis_memory_used_bytes / (redis_memory_max_bytes > 0)",
                    maximum=1,
                    warn=0.8,
                    alarm=0.95,
                ),
                panel(
                    "Commands",
                    "Per second.",
                    "ops",
                    rate("redis_commands_processed_total", "service"),
                ),
                panel(
                    "Clients",
                    "Connected, and blocked waiting for a message.",
                    "short",
                    Query("redis_connected_clients", "{{service}} connected"),
                    Query("redis_blocked_clients", "{{service}} waiting"),
                ),
                panel("Keys", "Number of keys.", "short", "sum by (service) (redis_db_keys)"),
                panel(
                    "Time per command",
                    "Mean duration.",
                    "s",
                    f"sum by (service) (rate(redis_commands_duration_seconds_total[{INTERVAL}])) /"
                    f" sum by (service) (rate(redis_commands_total[{INTERVAL}]))",
                ),
                panel(
                    "Append-only file",
                    "Size on disk.",
                    "bytes",
                    "redis_aof_current_size_bytes",
                ),
            ),
            "redis",
        ),
        Row(
            "MinIO",
            (
                panel(
                    "Requests",
                    "Per second, by call.",
                    "reqps",
                    Query(rate("minio_s3_requests_total", "api"), "{{api}}"),
                    stack=True,
                ),
                panel(
                    "Time to first byte",
                    "95th-percentile latency.",
                    "s",
                    Query(
                        "histogram_quantile(0.95, sum by (le, api)"
                        f" (rate(minio_s3_requests_ttfb_seconds_distribution[{INTERVAL}])))",
                        "{{api}} P95",
                    ),
                ),
                panel(
                    "Traffic",
                    "Received and sent.",
                    "Bps",
                    Query(rate("minio_s3_traffic_received_bytes"), "received"),
                    Query(rate("minio_s3_traffic_sent_bytes"), "sent"),
                ),
                panel(
                    "Space",
                    "Free on the volume, and used by objects.",
                    "bytes",
                    Query("minio_cluster_capacity_usable_free_bytes", "free"),
                    Query("minio_cluster_usage_total_bytes", "objects"),
                ),
                panel(
                    "Objects",
                    "Current ones and earlier versions.",
                    "short",
                    Query("minio_cluster_usage_object_total", "objects"),
                    Query("minio_cluster_usage_version_total", "versions"),
                ),
                panel(
                    "Rejected requests",
                    "Requests without a valid key, per second.",
                    "reqps",
                    Query(rate("minio_s3_requests_rejected_auth_total"), "refused"),
                ),
            ),
            "minio",
        ),
        Row(
            "ClickHouse",
            (
                panel(
                    "Queries",
                    "Per second: all, and failed.",
                    "ops",
                    Query(rate("ClickHouseProfileEvents_Query"), "queries"),
                    Query(rate("ClickHouseProfileEvents_FailedQuery"), "failed"),
                ),
                panel(
                    "Running",
                    "Queries and merges at this moment.",
                    "short",
                    Query("ClickHouseMetrics_Query", "queries"),
                    Query("ClickHouseMetrics_Merge", "merges"),
                ),
                panel(
                    "Memory",
                    "Tracked by the server.",
                    "bytes",
                    Query("ClickHouseMetrics_MemoryTracking", "tracked"),
                ),
                panel(
                    "Rows written",
                    "Per second.",
                    "ops",
                    Query(rate("ClickHouseProfileEvents_InsertedRows"), "inserted"),
                ),
                panel(
                    "Rows read",
                    "Per second.",
                    "ops",
                    Query(rate("ClickHouseProfileEvents_SelectedRows"), "selected"),
                ),
                panel(
                    "Parts",
                    "Of the partition with the most; hundreds mean that inserts are too small.",
                    "short",
                    Query("ClickHouseAsyncMetrics_MaxPartCountForPartition", "parts"),
                    warn=150,
                    alarm=300,
                ),
            ),
            "clickhouse",
        ),
        Row(
            "Qdrant",
            (
                panel(
                    "Requests",
                    "Per second, by status.",
                    "reqps",
                    Query(
                        rate("rest_responses_total", "status", where='{service="qdrant"}'),
                        "{{status}}",
                    ),
                    stack=True,
                ),
                panel(
                    "Response time",
                    "95th-percentile latency.",
                    "s",
                    Query(
                        quantile(
                            0.95,
                            "rest_responses_duration_seconds",
                            "endpoint",
                            where='{service="qdrant"}',
                        ),
                        "{{endpoint}} P95",
                    ),
                ),
                panel(
                    "Vectors",
                    "In all collections.",
                    "short",
                    Query("sum(collections_vector_total)", "vectors"),
                ),
                panel(
                    "Memory",
                    "Resident and allocated.",
                    "bytes",
                    Query("memory_resident_bytes", "resident"),
                    Query("memory_allocated_bytes", "allocated"),
                ),
            ),
            "qdrant",
        ),
    ),
)
