"""Where a disk holds less than the retention, the oldest data goes: the sidecar's script, run."""

import base64
import json
import os
import re
import subprocess
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra import description
from infra.services import retention
from infra.spec import Service
from infra.units import GIB
from tests.unit.conftest import IMAGE_SOURCES, make_platform, make_settings

_DAY = 24
_LONGEST = {"loki": 14 * _DAY, "tempo": 3 * _DAY}
_DATA = {"loki": "/loki/chunks/fake", "tempo": "/var/tempo/blocks"}

Parts = Iterable[tuple[float, int]]


@pytest.fixture(params=["loki", "tempo"])
def service(request: pytest.FixtureRequest) -> Service:
    """Each service that keeps by size, on a disk of 10 GiB, of which 8 are for its data."""
    name = str(request.param)
    return make_platform(**{name: {"disk": "10GiB"}}).by_name(name)


_SLEEPS = "    sleep 300 &\n    wait $!\n"


def _over(service: Service, data: Path, written: Path, ready: Path) -> str:
    """The script over files of a test."""
    (sidecar,) = service.sidecars
    return (
        sidecar.command[-1]
        .replace(_DATA[service.name], str(data))
        .replace(retention.PATH, str(written))
        .replace(sidecar.readiness.command[-1], str(ready))
    )


def _looks_once(
    service: Service, data: Path, written: Path, ready: Path
) -> subprocess.CompletedProcess[str]:
    """Runs the script until it would sleep."""
    once = _over(service, data, written, ready).replace(_SLEEPS, "    exit 0\n")
    assert once.count("exit 0\n") == 1
    *command, _ = service.sidecars[0].command
    return subprocess.run([*command, once], capture_output=True, text=True, check=True, timeout=60)


def _run(service: Service, data: Path, place: Path) -> tuple[dict[str, Any], str]:
    """The overrides that the script writes, and its log."""
    written, ready = place / "overrides.yaml", place / "ready"
    done = _looks_once(service, data, written, ready)
    assert done.stderr == ""
    assert ready.exists()
    return json.loads(written.read_text())["overrides"], done.stdout


def _chunks(data: Path, parts: Parts) -> None:
    """Files as Loki names them: first and last millisecond, and a checksum."""
    for number, (hours, size) in enumerate(parts):
        first = int((time.time() - hours * 3600) * 1000)
        name = base64.b64encode(f"{first:x}:{first + 60_000:x}:{number:x}".encode()).decode()
        chunk = data / f"{number:x}" / name
        chunk.parent.mkdir(parents=True)
        with chunk.open("wb") as file:
            file.truncate(size)


def _blocks(data: Path, parts: Parts) -> None:
    for number, (hours, size) in enumerate(parts):
        ended = datetime.fromtimestamp(time.time() - hours * 3600, UTC)
        block = data / "single-tenant" / str(number)
        block.mkdir(parents=True)
        meta = {
            "format": "vParquet4",
            "blockID": str(number),
            "startTime": "2020-01-01T00:00:00Z",
            "endTime": ended.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if number % 2 else "%Y-%m-%dT%XZ"),
            "totalObjects": 5,
            "size": size,
            "footerSize": 9,
            "replicationFactor": 1,
        }
        (block / "meta.json").write_text(json.dumps(meta, separators=(",", ":")))
        (block / "data.parquet").write_text("not counted: the description has the size")


def _fill(service: Service, data: Path, parts: Parts) -> None:
    {"loki": _chunks, "tempo": _blocks}[service.name](data, parts)


def _kept(overrides: dict[str, Any], name: str) -> float:
    (tenant,) = overrides.values()
    period = tenant["retention_period" if name == "loki" else "compaction"]
    text = period if name == "loki" else period["block_retention"]
    assert text.endswith("s")
    return int(text[:-1]) / 3600


@pytest.mark.parametrize(
    ("parts", "hours"),
    [
        ([], None),
        ([(1, GIB), (60, 6 * GIB)], None),
        ([(1, 3 * GIB), (30.5, 3 * GIB), (40.5, 3 * GIB)], 40),
        ([(1, 3 * GIB), (40.5, 6 * GIB), (30.5, GIB)], 40),
        ([(30.5, 9 * GIB)], 30),
        ([(5, 9 * GIB)], _DAY),
        ([(-1, 9 * GIB)], _DAY),
        ([(1, GIB), (400_000, GIB)], None),
        ([(hour + 0.5, GIB // 4) for hour in range(60)], 32),
    ],
    ids=[
        "nothing yet",
        "what fits",
        "the oldest part is too much",
        "in any order",
        "one part",
        "more than fits in a day",
        "a clock that was ahead",
        "a clock that was at its beginning",
        "an even stream",
    ],
)
def test_the_retention_is_the_age_of_what_fits(
    service: Service, tmp_path: Path, parts: Parts, hours: int | None
) -> None:
    """In whole hours; never less than a day, never more than the stack asks for, and said only
    where it is less than that.
    """
    data = tmp_path / "data"
    data.mkdir()
    _fill(service, data, parts)
    overrides, log = _run(service, data, tmp_path)
    longest = _LONGEST[service.name]
    assert _kept(overrides, service.name) == (hours or longest)
    said = 'level=warn msg="the disk holds less than the retention"'
    assert log == (f"{said} hours={hours} of={longest}\n" if hours else "")


def test_before_the_service_has_started_there_is_no_data(service: Service, tmp_path: Path) -> None:
    overrides, _ = _run(service, tmp_path / "none", tmp_path)
    assert _kept(overrides, service.name) == _LONGEST[service.name]


def test_what_a_deploy_has_written_is_replaced(service: Service, tmp_path: Path) -> None:
    """At each deploy the file says the whole retention again."""
    data, written = tmp_path / "data", tmp_path / "overrides.yaml"
    _fill(service, data, [(30.5, 9 * GIB)])
    (first,) = (item for item in service.files if item.shared)
    written.write_text(str(first.content))
    assert _kept(_run(service, data, tmp_path)[0], service.name) == 30


def test_what_says_the_same_is_left_alone(service: Service, tmp_path: Path) -> None:
    """The service reads a file again that is written."""
    data, written = tmp_path / "data", tmp_path / "overrides.yaml"
    data.mkdir()
    _run(service, data, tmp_path)
    os.utime(written, (0, 0))
    _run(service, data, tmp_path)
    assert written.stat().st_mtime == 0


def test_the_retention_grows_no_faster_than_time_passes(service: Service, tmp_path: Path) -> None:
    """Once the oldest is deleted the rest fits; it is still less than what was asked for."""
    data, log = tmp_path / "data", tmp_path / "log"
    _fill(service, data, [(1, GIB), (30.5, 8 * GIB)])
    script = _over(service, data, tmp_path / "overrides.yaml", tmp_path / "ready")
    twice = script.replace(
        _SLEEPS, f"    [ ! -e {log} ] || exit 0\n    rm -r {data}\n    touch {log}\n"
    ).replace("now=$(date +%s)", f"now=$(($(date +%s) + $([ -e {log} ] && echo 7200 || echo 0)))")
    *command, _ = service.sidecars[0].command
    done = subprocess.run([*command, twice], capture_output=True, text=True, check=True, timeout=60)
    said = re.findall(r"hours=(\d+)", done.stdout)
    assert said == ["30", "32"]


def test_what_cannot_be_written_is_not_ready(service: Service, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    done = _looks_once(service, tmp_path / "none", tmp_path / "missing" / "file", ready)
    assert "missing" in done.stderr
    assert not ready.exists()


def test_the_overrides_hold_every_limit_of_the_tenant(service: Service) -> None:
    """Tempo's replace the defaults as a whole; Loki's add to them."""
    (first,) = (item for item in service.files if item.shared)
    (tenant,) = json.loads(str(first.content))["overrides"].values()
    if service.name == "loki":
        assert tenant == {"retention_period": f"{14 * 86400}s"}
    else:
        assert {"ingestion", "read", "global", "metrics_generator", "compaction"} == set(tenant)


@pytest.mark.parametrize(("target", "part"), [("docker", "jobs"), ("kubernetes", "container")])
def test_a_review_tells_what_another_sidecar_interrupts(target: str, part: str) -> None:
    """In a cluster it is part of the service's pod; on Docker nobody is cut off."""
    keys = {"kubernetes": {"context": "test"}} if target == "kubernetes" else {}
    loki = make_platform(target=target, **keys).by_name("loki")
    settings = make_settings(target=target, **keys)
    (sidecar,) = loki.sidecars
    other = replace(loki, sidecars=(replace(sidecar, command=("sh", "-c", "other")),))
    before, after = (description._service(item, settings) for item in (loki, other))
    assert {key for key in before if before[key] != after[key]} == {part}


@pytest.mark.parametrize("source", IMAGE_SOURCES)
@pytest.mark.parametrize("name", ["loki", "tempo"])
def test_the_sidecars_image_has_a_shell(source: str, name: str) -> None:
    """The official ones of Loki and Tempo hold one program."""
    service = make_platform(images=source).by_name(name)
    (sidecar,) = service.sidecars
    own = sidecar.image == service.image
    assert own is service.image.built
    assert own or "redis:" in sidecar.image.reference
