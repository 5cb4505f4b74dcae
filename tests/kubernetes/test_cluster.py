"""The tests' own cluster: it comes up by itself and leaves nothing behind."""

import os
import subprocess
from pathlib import Path

import pytest

from ops.paths import cache
from tests.kubernetes.cluster import lifecycle


@pytest.mark.skipif(
    "GROUNDWORK_TEST_CONTEXT" in os.environ, reason="a cluster was named, so none is made here"
)
def test_leaves_nothing_behind(tools: Path) -> None:
    """Processes, network, control groups and files are gone with it."""
    with lifecycle.running(tools, []) as cluster:
        layout = cluster.layout
        assert layout is not None
        nodes = lifecycle.kubectl(
            layout, "get", "nodes", "-o", "jsonpath={.items[*].status.conditions[-1].type}"
        )
        assert nodes.stdout == "Ready"
        assert layout.link in _links()
        assert _processes(layout.root)
    assert layout.link not in _links()
    assert not _processes(layout.root)
    assert not layout.root.exists()
    assert not [folder for folder in layout.cgroups if folder.exists()]
    assert not list(cache().glob(f"{layout.root.name}*"))


def _links() -> str:
    return subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout


def _processes(root: Path) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(root) in command:
            found.append(command)
    return found
