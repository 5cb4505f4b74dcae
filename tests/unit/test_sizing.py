"""Engine settings follow from limits, and stay inside them."""

import pytest

from infra import sizing
from infra.units import GIB, MIB

SIZES = [256 * MIB, 512 * MIB, GIB, 4 * GIB, 64 * GIB, 512 * GIB]


def test_postgres_follows_pgtune() -> None:
    """pgtune for 4 GB, 2 CPUs, 100 connections, mixed use."""
    assert sizing.postgres(memory=4 * GIB, cpus=2, max_connections=100) == {
        "shared_buffers": GIB,
        "effective_cache_size": 3 * GIB,
        "maintenance_work_mem": 256 * MIB,
        "work_mem": (3 * GIB) // (102 * 3),
        "max_worker_processes": 8,
        "max_parallel_workers": 2,
        "max_parallel_workers_per_gather": 1,
        "max_parallel_maintenance_workers": 1,
    }


@pytest.mark.parametrize("memory", SIZES)
def test_postgres_shared_memory_holds_an_index_build(memory: int) -> None:
    tuning = sizing.postgres(memory=memory, cpus=4, max_connections=150)
    assert sizing.postgres_shm(memory) >= tuning["maintenance_work_mem"]
    assert tuning["shared_buffers"] + tuning["maintenance_work_mem"] < memory
    assert tuning["work_mem"] >= 64 * 1024


@pytest.mark.parametrize("memory", SIZES)
def test_engines_stay_below_their_limit(memory: int) -> None:
    redis = sizing.redis(memory)
    assert redis["maxmemory"] + redis["clients"] <= 0.75 * memory
    assert sizing.minio_memlimit(memory) < memory
    clickhouse = sizing.clickhouse(memory)
    caches = (
        clickhouse["mark_cache_size"]
        + clickhouse["uncompressed_cache_size"]
        + clickhouse["index_mark_cache_size"]
    )
    assert caches <= memory // 10
    assert caches + clickhouse["max_memory_usage"] < memory


def test_prometheus_leaves_room_for_compaction() -> None:
    assert sizing.prometheus_retention_size(5 * GIB) == 4 * GIB
