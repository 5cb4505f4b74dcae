"""Frameworks use the stores as their own documentation says, with the URLs of `make env`: one role
migrates, the other works with what that made.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.live.clone import ROOT, Clone

FRAMEWORKS = ROOT / "tests" / "frameworks"


@pytest.mark.parametrize(
    "name", ["alembic_migration", "django_models", "langchain_store", "llama_index_store"]
)
@pytest.mark.parametrize("application", ["app", "billing"])
def test_a_framework_works_with_what_make_env_writes(
    several: Clone, framework_python: Path, name: str, application: str
) -> None:
    """For the stack's own application, and for another one."""
    told = several.outputs()
    own = told if application == "app" else told["applications"][application]
    done = subprocess.run(
        [framework_python, "-P", FRAMEWORKS / f"{name}.py"],
        env={"PATH": os.environ["PATH"], **own["environment"], **own["administration"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
