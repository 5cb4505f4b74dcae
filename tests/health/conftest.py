"""Health checks for any deployed stack: what is checked follows from the stack's `services` output.

They read `pulumi stack output --json --show-secrets`, or the file that GROUNDWORK_OUTPUTS names.
"""

import json
import os
import subprocess
import tempfile
import warnings
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

from ops.sites.forward import Forwards
from tests.support import http

# A client that finds its server gone warns while it is collected; the failed check says it better.
warnings.simplefilter("ignore", ResourceWarning)


# Qdrant's client warns that the key goes unencrypted, and a warning fails a check; here it goes
# over the loopback or a forward.
UNENCRYPTED = pytest.mark.filterwarnings(
    "ignore:Api key is used with an insecure connection:UserWarning"
)


class Outputs(dict[str, Any]):
    """A stack's outputs. A failed check prints its arguments, and these hold every credential."""

    def __repr__(self) -> str:
        return f"Outputs of {self.get('identity', {}).get('prefix', '?')}"


_FOLDER = tempfile.TemporaryDirectory(prefix="groundwork-health-")


@dataclass(frozen=True, slots=True)
class Deployed:
    """One deployed service: its entry in the stack's outputs and its credentials."""

    name: str
    entry: dict[str, Any]
    credentials: dict[str, str] = field(repr=False)
    forwards: Forwards | None = None
    others: Outputs | None = field(default=None, repr=False)

    @property
    def container(self) -> str:
        return str(self.entry["container"])

    def check(self, name: str) -> str:
        return str(self.entry["checks"][name])

    @property
    def authority(self) -> str | None:
        """The file of the authority that signed its certificate; None if it speaks no TLS."""
        if self.entry["checks"].get("tls") != "true":
            return None
        assert self.others is not None
        return _written(self.others["authority"])

    def endpoint(self, port: str) -> tuple[str, int]:
        found = self.entry["endpoints"][port]
        if self.forwards is not None:
            return "127.0.0.1", self.forwards.local_port(
                self.entry["namespace"], self.name, found["servicePort"]
            )
        bound = found["host"]
        return "127.0.0.1" if ip_address(bound).is_unspecified else bound, found["port"]

    def url(self, port: str) -> str:
        host, number = self.endpoint(port)
        return f"http{'s' if self.authority else ''}://{host}:{number}"

    def inside_url(self, port: int) -> str:
        """A port that is not published: at the container's own address, or through a forward."""
        if self.forwards is not None:
            local = self.forwards.local_port(self.entry["namespace"], self.name, port)
            return f"http://127.0.0.1:{local}"
        return f"http://{_address(self.container)}:{port}"

    def has(self, name: str) -> bool:
        """True if the same stack has a service of that name."""
        return self.others is not None and name in self.others["services"]

    def of(self, name: str) -> "Deployed":
        """Another service of the same stack."""
        assert self.others is not None
        outputs = self.others
        return Deployed(
            name,
            outputs["services"][name],
            outputs["credentials"].get(name, {}),
            self.forwards,
            self.others,
        )


@cache
def _written(certificate: str) -> str:
    path = Path(_FOLDER.name) / "ca.pem"
    path.write_text(certificate)
    return str(path)


@cache
def _address(container: str) -> str:
    """A container's own address, which it keeps while these checks run."""
    networks = (
        testinfra.get_host("local://").docker(container).inspect()["NetworkSettings"]["Networks"]
    )
    found = next(
        (network["IPAddress"] for network in networks.values() if network["IPAddress"]), None
    )
    assert found, f"{container} has no address: it does not run"
    return str(found)


def _read_outputs() -> Outputs:
    named = os.environ.get("GROUNDWORK_OUTPUTS")
    if named:
        text = Path(named).read_text()
    else:
        command = ["pulumi", "stack", "output", "--json", "--show-secrets"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return Outputs(json.loads(text))


_OUTPUTS = pytest.StashKey[Outputs]()
_FORWARDS = pytest.StashKey[Forwards | None]()
_SENT = pytest.StashKey[Any]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "kind(name): runs once for each deployed service of this kind"
    )
    config.addinivalue_line("markers", "deep: takes seconds; run after a change")
    config.addinivalue_line("markers", "watches: looks on for a while; run last")
    config.addinivalue_line(
        "markers", "sends(what): is called with the service before all checks; the fixture `sent`"
    )
    config.addinivalue_line(
        "markers", "encrypted: belongs to services that require TLS; for others it is not collected"
    )
    config.addinivalue_line(
        "markers", "target(kind): belongs to one target; on the other it is not collected"
    )
    outputs = _read_outputs()
    config.stash[_OUTPUTS] = outputs
    if outputs.get("authority"):
        http.trust(outputs["authority"])
    config.stash[_FORWARDS] = (
        Forwards(outputs["target"]) if outputs["target"]["kind"] == "kubernetes" else None
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    _FOLDER.cleanup()
    forwards = config.stash.get(_FORWARDS, None)
    if forwards is not None:
        forwards.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A container of Docker's and a pod are looked at by checks of their own.

    Checks that watch for a while come last: most of that has passed during the others.
    """
    items.sort(
        key=lambda item: [
            item.get_closest_marker(name) is not None for name in ("watches", "sends")
        ]
    )
    kind = config.stash[_OUTPUTS]["target"]["kind"]
    items[:] = [
        item
        for item in items
        if (marker := item.get_closest_marker("target")) is None or marker.args[0] == kind
        if item.get_closest_marker("encrypted") is None or _encrypted(item)
    ]


def _encrypted(item: pytest.Item) -> bool:
    """True if the service that a check is about requires TLS, or is not there."""
    if not isinstance(item, pytest.Function):
        return True
    service = item.callspec.params["service"]
    return not isinstance(service, Deployed) or service.authority is not None


def pytest_runtestloop(session: pytest.Session) -> None:
    """Sends what takes a second or two to arrive; the checks of it come after most others."""
    for item in session.items:
        marker = item.get_closest_marker("sends")
        service = item.callspec.params["service"] if isinstance(item, pytest.Function) else None
        if marker is not None and service is not None:
            try:
                item.stash[_SENT] = marker.kwargs["what"](service)
            except Exception as error:
                item.stash[_SENT] = error


@pytest.fixture
def sent(request: pytest.FixtureRequest) -> Any:
    """What the check's `sends` has sent; a failure of that is the check's."""
    found = request.node.stash[_SENT]
    if isinstance(found, Exception):
        raise found
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrizes over the deployed services, so that one failure hides no other."""
    if "service" not in metafunc.fixturenames:
        return
    outputs = metafunc.config.stash[_OUTPUTS]
    marker = metafunc.definition.get_closest_marker("kind")
    found = [
        Deployed(
            name,
            entry,
            outputs["credentials"].get(name, {}),
            metafunc.config.stash[_FORWARDS],
            outputs,
        )
        for name, entry in sorted(outputs["services"].items())
        if marker is None or entry["kind"] == marker.args[0]
    ]
    parameters: list[Any] = [pytest.param(service, id=service.name) for service in found]
    if not parameters and marker is not None:
        kind = marker.args[0]
        reason = next(
            (
                item["reason"]
                for item in outputs["leftOut"]
                if item["service"] in (kind, _NAMES.get(kind))
            ),
            "it is turned off",
        )
        parameters = [
            pytest.param(
                None,
                id=_NAMES.get(kind, kind),
                marks=pytest.mark.skip(reason=f"{kind} is not deployed: {reason}"),
            )
        ]
    metafunc.parametrize("service", parameters)


_NAMES = {"s3": "minio"}


@pytest.fixture(scope="session")
def outputs(pytestconfig: pytest.Config) -> Outputs:
    """The stack's outputs, secrets revealed."""
    return pytestconfig.stash[_OUTPUTS]


@pytest.fixture(scope="session")
def host() -> Host:
    """This machine."""
    return testinfra.get_host("local://")
