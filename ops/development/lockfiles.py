"""Re-resolves the dependencies: exact versions with hashes."""

from ops import console
from ops.development import go_modules
from ops.paths import ROOT, VENV_BIN

# LiteLLM runs on the Python of the images' distribution, everything else on the oldest one
# supported.
_LOCKS = (
    ("requirements/runtime", ("--python-version", "3.11")),
    ("requirements/dev", ("--python-version", "3.11")),
    ("requirements/bootstrap", ("--python-version", "3.11")),
    (
        "images/litellm/requirements",
        ("--python-version", "3.13", "--python-platform", "x86_64-manylinux_2_31"),
    ),
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
