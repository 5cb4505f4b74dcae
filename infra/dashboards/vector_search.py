"""Vector search: in the application, in Qdrant, in pgvector."""

from infra.dashboards.model import INTERVAL, Board, Query, Row, panel, quantile, rate

_POINTS = '{service="qdrant", endpoint=~".*/points(/.*)?"}'

BOARD = Board(
    "vector-search",
    "Vector Search",
    "How fast neighbours are found, how many vectors there are, and whether searches fail.",
    (
        Row(
            "As the application sees it",
            (
                panel(
                    "Searches",
                    "Per second, by outcome.",
                    "ops",
                    Query(rate("vector_searches_total", "index", "status"), "{{index}} {{status}}"),
                    stack=True,
                ),
                panel(
                    "Time of a search",
                    "Half of the searches, and all but one in twenty, are faster.",
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
                    "Times that an index of document_vectors was used, per second.",
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
                    "Read without the index",
                    "Times that the whole table was read, per second: each is slow once it is"
                    " large.",
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
                    "Vectors that are there, and deleted ones that still take room.",
                    "short",
                    Query('pg_stat_user_tables_n_live_tup{relname="document_vectors"}', "there"),
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
                    "Time of an operation",
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
                    "And the vectors in them.",
                    "short",
                    Query("collections_total", "collections"),
                    Query("sum(collections_vector_total)", "vectors"),
                ),
                panel(
                    "Failures",
                    "Per second, by Qdrant's own fault.",
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
