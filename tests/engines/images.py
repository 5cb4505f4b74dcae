"""Images from one engine to another."""

import os
import subprocess

from infra.images import BASE_TAG, local_tag
from infra.versions import RECIPES
from ops import console
from tests.engines.engine import Engine


def copy(*, to: Engine) -> None:
    """Copies the images built from packages from the engine in the environment to another one.

    Raises Failed if that does not take them.
    """
    tags = [BASE_TAG, *(local_tag(name, recipe, BASE_TAG) for name, recipe in RECIPES.items())]
    with console.step(f"tests: copying {len(tags)} images to the {to.name}'s engine"):
        saving = subprocess.Popen(["docker", "save", *tags], stdout=subprocess.PIPE)
        loading = subprocess.run(
            [to.programs / "docker", "load", "--quiet"],
            env={**os.environ, **to.environment()},
            stdin=saving.stdout,
            capture_output=True,
            text=True,
            check=False,
        )
        if saving.wait() != 0 or loading.returncode != 0:
            raise console.Failed(f"the images could not be copied: {loading.stderr[-500:]}")
