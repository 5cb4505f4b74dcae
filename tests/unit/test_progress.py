"""Progress of a deploy, as a person sees it."""

from typing import Any

import pytest

from ops.stacks import progress
from ops.stacks.progress import Watch

QUIET = [
    "@ updating.....",
    "",
    "    docker:index:Volume gw-dev-x-postgres-data  ",
    "    pulumi:pulumi:Stack groundwork-dev running ",
    " ~  docker:index:Network gw-dev-x-app refreshing (0s) ",
    " ~  docker:index:Network gw-dev-x-app refresh (2s) ",
    "Updating (dev):",
    " +  docker:index:Volume gw-dev-x-minio-data creating (0s) ",
]


TELLING = [
    " +  docker:index:Container gw-dev-x-postgres created (4s) ",
    " +  docker:index:Container gw-dev-x-postgres creating (0s) ",
    " +  docker:index:Network gw-dev-x-app creating (1s) error: no address pool left",
    " ~  docker:index:Container gw-dev-x-minio refresh (0.58s) [diff: ~mustRun]",
    " -- docker:index:Container gw-dev-x-minio deleting original (0s) ",
    " +  docker:index:Container gw-dev-x-minio **creating failed** error: 1 error occurred:",
]


@pytest.mark.parametrize("line", QUIET)
def test_progress_leaves_out_what_does_not_change(line: str) -> None:
    assert list(progress.telling([line + "\n"])) == []


@pytest.mark.parametrize("line", TELLING)
def test_progress_shows_what_changes(line: str) -> None:
    assert list(progress.telling([line + "\n"])) == [line.rstrip("\n")]


def test_progress_shows_every_line_of_the_diagnostics() -> None:
    lines = [
        "Diagnostics:",
        "  docker:index:Container (gw-dev-x-minio):",
        "    error: PreflightError",
        "@ what follows",
    ]
    assert list(progress.telling(f"{line}\n" for line in lines)) == lines


def event(name: str, action: str, at: float) -> dict[str, Any]:
    return {"Actor": {"Attributes": {"name": name}}, "Action": action, "timeNano": int(at * 1e9)}


def test_watch_counts_from_the_last_start_to_the_first_healthy_answer() -> None:
    watch = Watch()
    for item in (
        event("a", "start", 1),
        event("a", "health_status: healthy", 2),
        event("a", "start", 10),
        event("a", "health_status: unhealthy", 11),
        event("a", "health_status: healthy", 14),
        event("a", "health_status: healthy", 20),
    ):
        watch.see(item)
    assert watch.seconds("a") == pytest.approx(4)
    assert watch.seconds("b") is None
