"""Vector search: in the application, in Qdrant, in pgvector."""

from infra.dashboards.model import INTERVAL, Board, Query, Row, panel, quantile, rate

_POINTS = '{service="qdrant", endpoint=~".*/points(/.*)?"}'

BOARD = Board(
    "vector-search",
    "Vector Search",
    "Search latency, number of vectors, and failed searches.",
    (
        Row(
            "As seen by the application",
            (
                panel(
                    "Searches",
                    "Per second, by outcome.",
                    "ops",
                    Query(rate("vector_searches_total", "index", "status"), "{{index}} {{status}}"),
                    stack=True,
                ),
                panel(
                    "Search duration",
                    "Median and 95th percentile.",
                    "s",
                    Query(
                        quantile(0.5, "vector_search_duration_seconds", "index"), "{{index}} P50"
                    ),
                    Query(
                        quantile(0.95, "vector_search_duration_seconds", "index"), "{{index}} P95"
                    ),
                    warn=0.05,
                    alarm=0.1,
                ),
                panel(
                    "Vectors",
                    "In each index.",
                    "short",
                    Query("sum by (service, index) (vector_index_size)", "{{service}} {{index}}"),
                ),
            ),
            "application",
        ),
        Row(
            "pgvector",
            (
                panel(
                    "Searches",
                    "Index scans of document_vectors, per second.",
                    "ops",
                    Query(
                        rate(
                            "pg_stat_user_tables_idx_scan",
                            "datname",
                            where='{relname="document_vectors"}',
                        ),
                        "{{datname}}",
                    ),
                ),
                panel(
                    "Sequential scans",
                    "Full scans of the table, per second; each is slow once the table is large.",
                    "ops",
                    Query(
                        rate(
                            "pg_stat_user_tables_seq_scan",
                            "datname",
                            where='{relname="document_vectors"}',
                        ),
                        "{{datname}}",
                    ),
                ),
                panel(
                    "Rows",
                    "Live vectors, and deleted ones that still take up space.",
                    "short",
                    Query('pg_stat_user_tables_n_live_tup{relname="document_vectors"}', "live"),
                    Query('pg_stat_user_tables_n_dead_tup{relname="document_vectors"}', "deleted"),
                ),
            ),
            "postgres",
        ),
        Row(
            "Qdrant",
            (
                panel(
                    "Operations on points",
                    "Per second, by status.",
                    "reqps",
                    Query(rate("rest_responses_total", "status", where=_POINTS), "REST {{status}}"),
                    Query(rate("grpc_responses_total", "status"), "gRPC {{status}}"),
                    stack=True,
                ),
                panel(
                    "Operation duration",
                    "95th-percentile latency.",
                    "s",
                    Query(
                        quantile(
                            0.95, "rest_responses_duration_seconds", "endpoint", where=_POINTS
                        ),
                        "{{endpoint}} P95",
                    ),
                    Query(
                        quantile(0.95, "grpc_responses_duration_seconds", "endpoint"),
                        "{{endpoint}} P95",
                    ),
                    warn=0.05,
                    alarm=0.1,
                ),
                panel(
                    "Collections",
                    "Collections and the vectors in them.",
                    "short",
                    Query("collections_total", "collections"),
                    Query("sum(collections_vector_total)", "vectors"),
                ),
                panel(
                    "Failures",
                    "Qdrant's own errors, per second.",
                    "reqps",
                    Query(
                        'sum(rate(rest_responses_total{service="qdrant",'
                        f' status=~"5.."}}[{INTERVAL}]))',
                        "REST",
                    ),
                    Query(
                        f'sum(rate(grpc_responses_total{{status=~"2|4|8|13|14|15"}}[{INTERVAL}]))',
                        "gRPC",
                    ),
                ),
            ),
            "qdrant",
        ),
    ),
)
