"""The application's `.env` and the administrators' `.env.admin`, from a stack's outputs; the
certificate that clients must know, if a service requires TLS.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.services import alloy, postgres
from ops import console
from ops.commands import rendering
from ops.paths import ROOT
from ops.stacks import private
from ops.stacks.stack import Stack

_MARK = "# Written by `make env` from the stack"
_APPLICATION = """\
{mark} `{stack}`. It holds secrets: keep it out of version control.
# NAME is for a process on this host, NAME_INTERNAL for a container on the service's network.
"""
_ADMINISTRATORS = """\
{mark} `{stack}`. It holds administrators' logins: for people and migrations,
# never for an application's container. Keep it out of version control.
"""
# What every reader of such a file takes as it stands; anything else is quoted.
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+=,?-]*")


def write(stack: Stack, *, force: bool = False) -> None:
    """Writes `.env` and `.env.admin` (for the stack `dev`) or `.env.<stack>` and
    `.env.<stack>.admin`, and for each declared application `.env.<stack>.<application>` and its
    `.admin`.

    All are readable only by their owner. Raises Failed rather than overwrite a file that it did
    not write.
    """
    outputs = stack.outputs()
    path = ROOT / (".env" if stack.name == "dev" else f".env.{stack.name}")
    networks = {
        f"GROUNDWORK_NETWORK_{_upper(name)}": full for name, full in outputs["networks"].items()
    }
    trusted = _trusted(outputs, path)
    both = {**networks, **trusted}
    written = {
        path: (_APPLICATION, {**outputs["environment"], **both}),
        path.with_name(f"{path.name}.admin"): (
            _ADMINISTRATORS,
            {**outputs["administration"], **trusted},
        ),
    }
    for name, own in outputs.get("applications", {}).items():
        base = ROOT / f".env.{stack.name}.{name}"
        written |= {
            base: (_APPLICATION, {**own["environment"], **both}),
            base.with_name(f"{base.name}.admin"): (
                _ADMINISTRATORS,
                {**own["administration"], **trusted},
            ),
        }
    for target in written:
        if not force and not _ours(target):
            raise console.Failed(
                f"{target.name} exists, but was not written by `make env`; nothing was changed",
                f"move it away, or overwrite it: python -m ops env --force (stack `{stack.name}`)",
            )
    rendering.check(outputs, force=force)
    for target, (header, variables) in written.items():
        private.write(target, header.format(mark=_MARK, stack=stack.name) + render(variables))
        console.out.print(f"Wrote {len(variables)} variables to {target.name} (0600).")
    if trusted:
        _authority(path).write_text(outputs["authority"])
    rendering.write(outputs, both)


def _authority(path: Path) -> Path:
    """The file beside an environment file with the certificate of the stack's authority."""
    return path.with_name(f"{path.name}.ca.pem")


def _trusted(outputs: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Where clients on this host find the authority: any, Node's, OpenTelemetry's, and libpq's,
    which verifies nothing unless it is told to.
    """
    if not outputs.get("authority"):
        return {}
    file = str(_authority(path))
    found = {"TLS_CA_FILE": file, "NODE_EXTRA_CA_CERTS": file}
    # With nothing to keep there is no endpoint of ours, and maybe one of the application's.
    if _encrypted(outputs, alloy.NAME) and "OTEL_EXPORTER_OTLP_ENDPOINT" in outputs["environment"]:
        found["OTEL_EXPORTER_OTLP_CERTIFICATE"] = file
    # An external Postgres has another authority, and a forward from a cluster is encrypted itself.
    if _encrypted(outputs, postgres.NAME):
        forwarded = outputs["target"]["kind"] == "kubernetes"
        mode = "disable" if forwarded else "verify-full"
        found |= {"PGSSLROOTCERT": file, "PGSSLMODE": mode}
    return found


def _encrypted(outputs: Mapping[str, Any], name: str) -> bool:
    service = outputs["services"].get(name, {})
    return bool(service.get("checks", {}).get("tls") == "true")


def render(variables: Mapping[str, str]) -> str:
    """One `NAME=value` per line, sorted. Raises ValueError for a value with several lines."""
    return "".join(f"{name}={quote(value)}\n" for name, value in sorted(variables.items()))


def quote(value: str) -> str:
    """A value as python-dotenv, Compose and shells read it back.

    `docker run --env-file` does not strip quotes, so only values that need them are quoted.
    """
    if not value.isprintable():
        raise ValueError("a value with several lines cannot be written to an environment file")
    if _PLAIN.fullmatch(value):
        return value
    if "'" not in value and "\\" not in value:
        return f"'{value}'"
    escaped = (
        value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")
    )
    return f'"{escaped}"'


def _ours(path: Path) -> bool:
    return not path.exists() or path.read_text(errors="replace").startswith(_MARK)


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")
