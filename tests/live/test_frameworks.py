"""Frameworks use the stores as their own documentation says, with the URLs of `make env`: one role
migrates, the other works with what that made.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.live.clone import ROOT, Clone
from tests.live.several import outputs_of

FRAMEWORKS = ROOT / "tests" / "frameworks"


def run_node(
    folder: Path, script: str, environment: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """A script of tests/frameworks/node, beside the packages that it needs."""
    path = Path(shutil.copy(FRAMEWORKS / "node" / script, folder))
    return subprocess.run(
        ["node", path, *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("application", ["app", "billing"])
@pytest.mark.parametrize("name", ["drizzle", "prisma"])
def test_a_framework_in_node_works_with_what_make_env_writes(
    several: Clone, framework_node: Path, name: str, application: str
) -> None:
    """As its owner and as the application."""
    own = outputs_of(several, application)
    done = run_node(framework_node, f"{name}.mjs", {**own["environment"], **own["administration"]})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "name", ["alembic_migration", "django_models", "langchain_store", "llama_index_store"]
)
@pytest.mark.parametrize("application", ["app", "billing"])
def test_a_framework_works_with_what_make_env_writes(
    several: Clone, framework_python: Path, name: str, application: str
) -> None:
    """For the stack's own application, and for another one."""
    own = outputs_of(several, application)
    done = subprocess.run(
        [framework_python, "-P", FRAMEWORKS / f"{name}.py"],
        env={"PATH": os.environ["PATH"], **own["environment"], **own["administration"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
