"""The application's `.env`, from a stack's outputs."""

from ops import console
from ops.paths import ROOT
from ops.stack import Stack
from ops.state import write_private

_HEADER = """\
# Written by `make env` from the stack `{stack}`. It holds secrets: keep it out of version control.
# NAME is for a process on this host, NAME_INTERNAL for a container on the service's network.
"""


def write(stack: Stack) -> None:
    """Writes `.env` (for the stack `dev`) or `.env.<stack>`, readable by its owner only."""
    outputs = stack.outputs()
    path = ROOT / (".env" if stack.name == "dev" else f".env.{stack.name}")
    lines = [f"{name}={value}" for name, value in sorted(outputs["environment"].items())]
    lines += [f"GROUNDWORK_NETWORK_{_upper(name)}={full}" for name, full in sorted(outputs["networks"].items()) if name != "edge"]
    write_private(path, _HEADER.format(stack=stack.name) + "\n".join(lines) + "\n")
    console.out.print(f"Wrote {len(lines)} variables to {path.name} (0600).")


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")
