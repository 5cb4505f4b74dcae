"""Engine settings computed from a container's limits, so that no number is stated twice.

Sizes are bytes.
"""

from infra.units import GIB, KIB, MIB


def postgres(*, memory: int, cpus: float, max_connections: int) -> dict[str, int]:
    """Postgres' memory and parallelism, by pgtune's formulas for mixed use.

    Source: pgtune (le0pard/pgtune), shared_buffers = RAM/4, effective_cache_size = 3/4 RAM,
    maintenance_work_mem = RAM/16 up to 8 GB, work_mem = (RAM - shared_buffers) /
    ((connections + workers) * 3).
    """
    workers = max(2, int(cpus))
    shared = memory // 4
    return {
        "shared_buffers": shared,
        "effective_cache_size": memory * 3 // 4,
        "maintenance_work_mem": min(memory // 16, 8 * GIB),
        "work_mem": max((memory - shared) // ((max_connections + workers) * 3), 64 * 1024),
        "max_worker_processes": workers + 6,
        "max_parallel_workers": workers,
        "max_parallel_workers_per_gather": max(1, workers // 2),
        "max_parallel_maintenance_workers": max(1, workers // 2),
    }


def ivfflat_rows(lists: int | None) -> int:
    """Rows from which an IVFFlat index is built: fifty per cluster, which is what pgvector samples
    to find the clusters.

    A thousand where the number of clusters follows from the rows (a thousandth of them, as in
    pgvector's README).
    """
    return 1000 if lists is None else max(1000, 50 * lists)


def postgres_shm(memory: int) -> int:
    """Shared memory for parallel index builds: pgvector wants at least maintenance_work_mem.

    Docker's default of 64 MiB is too small for that.
    """
    return max(64 * MIB, 2 * min(memory // 16, 8 * GIB))


def redis(memory: int) -> dict[str, int]:
    """Half of the limit for keys, a quarter for clients (the largest are disconnected first).

    The rest is for the process itself, fragmentation, and the pages that a fork copies while it
    rewrites the log under writes: with 70 % for keys and clients without bound the queue was
    killed (`tests/live/test_isolation.py`).
    """
    return {"maxmemory": memory * 50 // 100, "clients": memory * 25 // 100}


# Memory of OpenSSL for one connection, which Redis counts nowhere. One that is idle takes 33 KiB
# (measured: a container's memory before and after 600 of them).
TLS_CONNECTION = 48 * KIB


def redis_clients(memory: int) -> int:
    """Connections with TLS whose buffers take an eighth of the memory at most."""
    return memory // 8 // TLS_CONNECTION


def minio_memlimit(memory: int) -> int:
    """80 % of the limit, as the Go runtime's soft limit."""
    return memory * 80 // 100


def go_runtime(memory: int) -> dict[str, str]:
    """The environment that tells a Go runtime its limit: 90 % of it as the soft limit; stacks and
    mapped files take the rest.
    """
    return {"GOMEMLIMIT": f"{memory * 90 // 100 // MIB}MiB"}


def clickhouse(memory: int) -> dict[str, int]:
    """ClickHouse on a small host. Its defaults assume tens of gigabytes (a mark cache of 5 GB).

    Source: ClickHouse's advice for hosts below 16 GB: caches at 5 to 10 % of memory, few
    concurrent queries, smaller pools.
    """
    return {
        "mark_cache_size": memory * 8 // 100,
        "uncompressed_cache_size": 0,
        "index_mark_cache_size": memory * 2 // 100,
        "max_concurrent_queries": max(8, memory // (128 * MIB)),
        "max_memory_usage": memory * 40 // 100,
        "max_bytes_before_external_group_by": memory * 20 // 100,
        "max_bytes_before_external_sort": memory * 20 // 100,
        "background_pool_size": 2 if memory < 4 * GIB else 8,
        "max_threads": 2 if memory < 4 * GIB else 4,
    }


# Lines and spans shrink to about an eighth in their blocks (repetitive text, columns).
_SHRUNK = 8


LEAST_KEPT = 86400
"""Seconds of logs or traces that are never deleted for want of room: Loki deletes none younger."""


def kept(disk: int) -> int:
    """What a store of logs or traces keeps on its disk; a fifth is left for bursts, for the log
    ahead of the blocks, and for what is deleted soon.
    """
    return disk * 80 // 100


# Until something is deleted after that: an hour for its chunk or block to be full, a quarter of an
# hour until it is looked at, and as long until it is deleted.
_LINGERS = 2 * 3600


def ingested_per_second(disk: int) -> float:
    """Bytes per second that it may ingest, so that what is never deleted fits."""
    return kept(disk) * _SHRUNK / (LEAST_KEPT + _LINGERS)


def loki(*, memory: int, disk: int) -> dict[str, float]:
    """Loki's caches from its memory, and its ingestion rate from its disk.

    A burst, such as a busy day, may take half of what the rate leaves of the disk. One stream takes
    at once what the log ahead of the chunks can hold, and then 3.5 MiB/s for 224 MiB of memory: 4
    went well for minutes with half a core, without a limit Loki was killed (measured).
    """
    return {
        "rate_mb": round(ingested_per_second(disk) / MIB, 4),
        "burst_mb": disk * 10 // 100 * _SHRUNK // MIB,
        "stream": memory // 64,
        "stream_burst_mb": max(16, disk // 100 // MIB),
        "replay": memory // 4,
        "results_mb": max(8, memory // 16 // MIB),
        "chunks_mb": max(8, memory // 8 // MIB),
    }


def tempo(*, memory: int, disk: int) -> dict[str, int]:
    """Tempo's ingestion rate in bytes per second from its disk, and the sizes that follow from its
    memory.

    These are, in bytes: the limits of one burst and one trace, a block, and a block's row groups.
    Its own block of 500 MB takes more than a small limit while it is read again after a crash (seen
    with 192 MiB).
    """
    return {
        "rate": int(min(memory // 64, ingested_per_second(disk))),
        "burst": memory // 16,
        "trace": memory // 48,
        "block": memory // 16,
        "rows": memory // 32,
    }


def alloy_intake(memory: int) -> int:
    """Memory in use above which Alloy refuses what it is sent: 75 % of its limit."""
    return memory * 3 // 4


def prometheus_retention_size(disk: int) -> int:
    """80 % of the disk: compaction needs room in addition to the blocks that it merges."""
    return disk * 80 // 100
