"""`make test`: lint, types, unit tests, then a real deployment; and finally the checks never
executed.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ops import console
from ops.build import golang, images, toolchain
from ops.development import lanes
from ops.development.lanes import Lane
from ops.paths import ROOT, VENV_BIN
from ops.sites import engine as host_engine
from tests.engines import engine as engines
from tests.engines import images as engine_images
from tests.engines import programs as engine_programs
from tests.engines.engine import Engine
from tests.kubernetes.cluster import packages as cluster_packages
from tests.kubernetes.cluster import tools as cluster_tools

_CODE = ("images/backup", "infra", "ops", "tests")
_PYTEST = (sys.executable, "-m", "pytest")
_ACTIONLINT = Path(__file__).resolve().parent / "modules" / "actionlint"
_LIVE = {
    "backup and recovery": ("backup", "chaos", "measured"),
    "faults": ("fault_injection",),
    "refusals and reviews": (
        "config_validation",
        "images",
        "rules",
        "retention",
        "refusals",
        "review",
    ),
    "life cycle": ("lifecycle",),
    "upgrades, moves and other machines": ("migrate", "upgrades", "machines"),
    "applications and frameworks": ("applications", "frameworks", "tls"),
    "observability and isolation": ("observability", "isolation", "measured", "mirror"),
}
# These run on the distribution's engine: deploy, health, backup, restore and drill.
_ON_DISTRIBUTION = "backup and recovery"
# What ends the engine, and with it every other test.
_ALONE = "engine"
# Two keep two cores busy: with three, each took 1.6 times as long, and all together the same. An
# engine with its default settings has address ranges for the networks of two stacks.
_AT_ONCE = 2


def lint() -> None:
    """Style, format and strict types."""
    for title, command in (
        ("lint", ["ruff", "check", *_CODE]),
        ("format", ["ruff", "format", "--check", *_CODE]),
        ("types", ["mypy"]),
        ("security of workflows", ["zizmor", "--offline", "--quiet", ".github"]),
    ):
        _call(title, [str(VENV_BIN / command[0]), *command[1:]])
    workflows = sorted(map(str, (ROOT / ".github" / "workflows").glob("*.yml")))
    _call("workflows", [str(golang.build(_ACTIONLINT) / "actionlint"), *workflows])


def run(*, live: bool) -> None:
    """Everything, fastest failures first."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = Path(folder) / "outcomes.jsonl"
        outcomes.touch()
        os.environ["GROUNDWORK_OUTCOMES"] = str(outcomes)
        if live:
            # The network is idle while code is checked.
            fetching = threading.Thread(target=_fetch_modules, daemon=True)
            fetching.start()
        lanes.run(_checks(), at_once=2)
        if live:
            with _engines() as on:
                lanes.run([*_lanes(on), _kubernetes(on)], at_once=_AT_ONCE)
                lanes.run([_alone(on)], at_once=1)
        _never_executed(outcomes)
    console.out.print(f"make test: passed in {time.monotonic() - began:.0f} s")


def _checks() -> list[Lane]:
    """What needs no Docker; each takes one core."""
    return [
        Lane("pure tests", [*_PYTEST, "tests/unit"]),
        Lane("lint and types", [sys.executable, "-m", "ops", "lint"]),
        Lane("dashboards against Grafana's types", [*_PYTEST, "tests/schema"]),
    ]


@contextmanager
def _engines() -> Iterator[Engine | None]:
    """The engine that the live tests run on, with all images: today's, built here and ended with
    the tests; None for this machine's, where GROUNDWORK_TEST_ENGINE is `host`, or by default where
    the images are official ones or DOCKER_HOST names an engine.
    """
    official = os.environ.get("GROUNDWORK_TEST_IMAGES", "packages") != "packages"
    usual = "host" if official or "DOCKER_HOST" in os.environ else "current"
    chosen = os.environ.get("GROUNDWORK_TEST_ENGINE", usual)
    if chosen not in ("host", "current"):
        raise console.Failed(
            f"GROUNDWORK_TEST_ENGINE is {chosen}, which names no engine", "use current or host"
        )
    if chosen == "host":
        os.environ.pop("GROUNDWORK_TEST_ENGINE", None)
        host_engine.ensure()
        _prepare_images(official=official)
        yield None
        return
    engine = engines.current()
    try:
        with console.step(f"tests: starting Docker {engine_programs.VERSION}"):
            engine.start()
            engine.clean()
        os.environ.update(engine.environment())
        _prepare_images(official=official)
        yield engine
    finally:
        engine.stop()


def _prepare_images(*, official: bool) -> None:
    """The same set-up as `make up`: the live tests then build nothing, and assert it."""
    if official:
        toolchain.ensure()
        # What the tests run helpers in, and push to a registry of their own.
        images.build_missing(lambda: {"redis", "prometheus", "node-exporter"})
    else:
        toolchain.ensure(meanwhile=lambda: images.begin({}))
        images.build_missing()


def _lanes(on: Engine | None) -> list[Lane]:
    """The live tests on Docker, longest first; each module's tests run in the order of their
    files.
    """
    return [
        _distribution(title, modules)
        if on and title == _ON_DISTRIBUTION
        else _lane(title, modules, on)
        for title, modules in _LIVE.items()
    ]


def _lane(title: str, modules: Sequence[str], on: Engine | None) -> Lane:
    command = _command(*map(_live, modules))
    return Lane(f"live tests: {title}", on.inside(command) if on else command)


def _distribution(title: str, modules: Sequence[str]) -> Lane:
    """A lane on the distribution's engine, which gets the images that were built on today's."""
    engine = engines.distribution()

    def prepare() -> None:
        engine.start()
        engine.clean()
        engine_images.copy(to=engine)

    return Lane(
        f"live tests, on the distribution's engine: {title}",
        engine.inside(_command(*map(_live, modules))),
        prepare,
        engine.environment(),
        engine.stop,
    )


def _kubernetes(on: Engine | None) -> Lane:
    """In the engine's network too: a stack moves from there into the cluster."""
    command = _command("tests/kubernetes")
    return Lane("Kubernetes tests", on.inside(command) if on else command, _prepare_cluster)


def _alone(on: Engine | None) -> Lane:
    return _lane(_ALONE, [_ALONE], on)


def _live(module: str) -> str:
    return f"tests/live/test_{module}.py"


def _fetch_modules() -> None:
    for module in (
        *engine_programs.modules(),
        *toolchain.modules(),
        *cluster_tools.modules(),
    ):
        golang.fetch(module)


def live() -> None:
    """The tests that deploy on Docker, with the images that GROUNDWORK_TEST_IMAGES names."""
    with _engines() as on:
        lanes.run(_lanes(on), at_once=_AT_ONCE)
        lanes.run([_alone(on)], at_once=1)


def kubernetes() -> None:
    """The chart and the platform on a real cluster: GROUNDWORK_TEST_CONTEXT's, or one made from
    packages.
    """
    if "GROUNDWORK_TEST_CONTEXT" in os.environ:
        _prepare_cluster()
        _call("Kubernetes tests", _command("tests/kubernetes"))
        return
    with _engines() as on:
        lanes.run([_kubernetes(on)], at_once=1)


def _prepare_cluster() -> None:
    if "GROUNDWORK_TEST_CONTEXT" not in os.environ:
        cluster_packages.ensure()
    cluster_tools.ensure()


def _command(*paths: str) -> list[str]:
    return [*_PYTEST, *paths, "--maxfail=5", "--durations=50"]


def _call(title: str, command: list[str]) -> None:
    console.out.print(f"\n[bold]{title}[/bold]")
    sys.stdout.flush()
    began = time.monotonic()
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        raise console.Failed(f"{title} failed; see above")
    console.out.print(f"{title}: {time.monotonic() - began:.0f} s")


def _never_executed(outcomes: Path) -> None:
    records = [json.loads(line) for line in outcomes.read_text().splitlines()]
    executed = {record["check"] for record in records if record["outcome"] != "skipped"}
    skipped = {
        record["check"]: record["reason"].removeprefix("Skipped: ")
        for record in records
        if record["check"] not in executed
    }
    by_reason: dict[str, list[str]] = {}
    for check, reason in sorted(skipped.items()):
        by_reason.setdefault(reason, []).append(check)
    console.out.print(
        f"\n[bold]Never executed here: {len(skipped)} checks[/bold] (of"
        f" {len(executed) + len(skipped)})"
    )
    for reason, checks in by_reason.items():
        console.out.print(f"  {len(checks)}: {reason}")
        for check in checks:
            console.out.print(f"      {check}", markup=False)
