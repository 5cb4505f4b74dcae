"""Re-resolves the dependencies: exact versions with hashes."""

from ops import console
from ops.development import go_modules
from ops.paths import ROOT, VENV_BIN

# Images have the Python of their distribution, everything else runs on the oldest one supported.
_IN_IMAGES = ("--python-version", "3.13", "--python-platform", "x86_64-manylinux_2_31")
_LOCKS = (
    ("requirements/runtime", ("--python-version", "3.11")),
    ("requirements/dev", ("--python-version", "3.11")),
    ("requirements/bootstrap", ("--python-version", "3.11")),
    ("requirements/chroma", ("--python-version", "3.11")),
    ("requirements/frameworks", ("--python-version", "3.11")),
    ("images/backup/requirements", _IN_IMAGES),
    ("images/litellm/requirements", _IN_IMAGES),
)


def resolve() -> None:
    """Rewrites every lock file."""
    for path, options in _LOCKS:
        with console.step(f"resolving {path}.in"):
            folder, _, name = (ROOT / path).as_posix().rpartition("/")
            command = [
                str(VENV_BIN / "uv"),
                "pip",
                "compile",
                "--quiet",
                "--upgrade",
                "--generate-hashes",
                "--no-annotate",
                "--no-header",
            ]
            console.run([*command, *options, f"{folder}/{name}.in", "-o", f"{folder}/{name}.txt"])
    go_modules.align()
