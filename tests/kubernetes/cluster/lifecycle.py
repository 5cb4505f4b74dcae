"""Starts the tests' own cluster and ends it again; everything of it lives in one folder and its
own namespaces.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import yaml

from ops import console
from ops.paths import ROOT, cache
from tests.kubernetes.cluster import pki
from tests.kubernetes.cluster.settings import (
    API_PORT,
    CONTEXT,
    NODE,
    PAUSE_IMAGE,
    SERVICE_ADDRESS,
    STORAGE_CLASS,
    Layout,
)
from tests.support.waiting import TimedOut, wait_until

T = TypeVar("T")

_PREFIX = "running-cluster-"
_READY_SECONDS = 120
_SUBNETS = range(20, 60)


@dataclass(slots=True)
class Cluster:
    """A cluster that answers: its kubeconfig and context, and how long its parts took,
    in seconds.
    """

    kubeconfig: Path
    context: str
    layout: Layout | None = None
    times: dict[str, float] = field(default_factory=dict)

    def describe(self) -> str:
        """The times for a person."""
        return ", ".join(f"{what} {seconds:.1f}" for what, seconds in self.times.items())


@contextmanager
def running(tools: Path, images: Sequence[str]) -> Iterator[Cluster]:
    """A fresh cluster with the Docker engine's images of these names loaded; gone afterwards.

    Raises Failed if it does not come up, with the last lines of its logs.
    """
    began = time.monotonic()
    _sweep()
    root = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=cache()))
    layout = Layout(root, tools, _free_subnet())
    pki.make(layout.pki, address=layout.address, service_address=SERVICE_ADDRESS)
    pki.kubeconfig(
        layout.kubeconfig,
        layout.pki,
        server=f"https://{layout.address}:{API_PORT}",
        context=CONTEXT,
    )
    process, loading = _launch(layout), None
    try:
        loading = _load(layout, process, images)
        cluster = Cluster(layout.kubeconfig, CONTEXT, layout)
        _wait(layout, process, ["get", "--raw", "/readyz"])
        cluster.times["API server ready"] = time.monotonic() - began
        _declare_storage(layout)
        _wait(layout, process, ["wait", f"node/{NODE}", "--for=condition=Ready", "--timeout=60s"])
        cluster.times["node Ready"] = time.monotonic() - began
        if loading.wait() != 0:
            raise console.Failed(
                "the images could not be loaded into the cluster",
                f"see {layout.logs / 'images.log'}",
            )
        cluster.times["images loaded"] = time.monotonic() - began
        yield cluster
    finally:
        if loading is not None:
            loading.kill()
            loading.wait()
        _end(layout, process)


def _launch(layout: Layout) -> subprocess.Popen[bytes]:
    command = [
        # However this process ends, the cluster ends with it.
        "setpriv",
        "--pdeathsig",
        "KILL",
        "unshare",
        "--mount",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        sys.executable,
        "-m",
        "tests.kubernetes.cluster.node",
        str(layout.root),
        str(layout.tools),
        str(layout.subnet),
    ]
    layout.logs.mkdir(parents=True)
    with (layout.logs / "node.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            # A proxy of the host's is nobody in there.
            env={name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
        )
    _link(layout, process)
    return process


def _link(layout: Layout, process: subprocess.Popen[bytes]) -> None:
    """A pair of virtual interfaces: one end here, the other, as eth0, in the cluster's network
    namespace.
    """
    own = Path("/proc/self/ns/net").stat().st_ino

    def child() -> str | None:
        """The process with a network namespace of its own."""
        with suppress(OSError):
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            if children and Path(f"/proc/{children[0]}/ns/net").stat().st_ino != own:
                return children[0]
        return None

    try:
        found = _wait_until(process, child, seconds=20, interval=0.02, reason="it has namespaces")
    except TimedOut as error:
        raise console.Failed(
            "the cluster's namespaces could not be made:\n    " + _tail(layout, "node"),
            "it needs root and a kernel with namespaces",
        ) from error
    console.run(
        [
            "ip",
            "link",
            "add",
            layout.link,
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            found,
        ]
    )
    console.run(["ip", "address", "add", f"{layout.host_address}/30", "dev", layout.link])
    console.run(["ip", "link", "set", layout.link, "up"])


def _free_subnet() -> int:
    taken = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    return next(number for number in _SUBNETS if f"gwkube{number}" not in taken)


def _load(
    layout: Layout, process: subprocess.Popen[bytes], images: Sequence[str]
) -> subprocess.Popen[bytes]:
    """Passes images from the Docker engine to the cluster's containerd, while the
    cluster starts.
    """
    console.run(
        [
            "sh",
            "-c",
            (
                f"tar -C {layout.tools} -c pause | docker import --change 'ENTRYPOINT [\"/pause\"]'"
                f" - {PAUSE_IMAGE}"
            ),
        ]
    )
    _until(layout, process, layout.containerd_socket.exists)
    into = f"ctr --address {layout.containerd_socket} --namespace k8s.io images import -"
    script = (
        f"docker save {' '.join([PAUSE_IMAGE, *images])} | {into}; done=$?; docker rmi -f"
        f" {PAUSE_IMAGE} >&2; exit $done"
    )
    with (layout.logs / "images.log").open("ab") as log:
        return subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def kubectl(
    layout: Layout, *arguments: str, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """The cluster's own kubectl, as its administrator."""
    command: list[str | Path] = [
        layout.tools / "kubectl",
        f"--kubeconfig={layout.kubeconfig}",
        *arguments,
    ]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def _wait(layout: Layout, process: subprocess.Popen[bytes], question: Sequence[str]) -> None:
    _until(layout, process, lambda: kubectl(layout, *question).returncode == 0)


def _until(layout: Layout, process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    try:
        _wait_until(process, condition, seconds=_READY_SECONDS, interval=0.2, reason="it is up")
    except TimedOut as error:
        parts = "\n    ".join(
            f"{path.stem}: {_tail(layout, path.stem)}" for path in sorted(layout.logs.glob("*.log"))
        )
        raise console.Failed(f"the cluster did not come up:\n    {parts}") from error


def _wait_until(
    process: subprocess.Popen[bytes],
    condition: Callable[[], T | None],
    *,
    seconds: float,
    interval: float,
    reason: str,
) -> T:
    """As `wait_until`, and no longer than the process lives."""

    def asked() -> T | None:
        found = condition()
        if not found and process.poll() is not None:
            raise TimedOut(f"it ended before {reason}", found)
        return found

    found = wait_until(asked, timeout=seconds, interval=interval, reason=reason)
    assert found is not None
    return found


def _declare_storage(layout: Layout) -> None:
    storage = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "provisioner": STORAGE_CLASS,
        "volumeBindingMode": "WaitForFirstConsumer",
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
    }
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "local-path-provisioner-service-account", "namespace": "kube-system"},
    }
    for item in (storage, account):
        done = kubectl(layout, "apply", "-f", "-", stdin=yaml.safe_dump(item))
        if done.returncode != 0:
            raise console.Failed(f"the cluster refused {item['kind']}: {done.stderr}")


def _tail(layout: Layout, name: str) -> str:
    path = layout.logs / f"{name}.log"
    return " | ".join(path.read_text(errors="replace").splitlines()[-3:]) if path.exists() else ""


def _end(layout: Layout, process: subprocess.Popen[bytes]) -> None:
    """Ends the first process of the namespaces, and with it all that is in them."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for child in children.read_text().split() if children.exists() else ():
        os.kill(int(child), signal.SIGKILL)
    process.kill()
    process.wait()
    subprocess.run(["ip", "link", "delete", layout.link], capture_output=True, check=False)
    _remove_cgroups(layout)
    shutil.rmtree(layout.root, ignore_errors=True)


def _sweep() -> None:
    """Removes what a run that was killed has left: its folder and its control groups; its
    processes are gone with it.
    """
    for folder in cache().glob(f"{_PREFIX}*"):
        if not Path("/proc", folder.name.removeprefix(_PREFIX).partition("-")[0]).exists():
            shutil.rmtree(folder, ignore_errors=True)
    taken = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    for number in _SUBNETS:
        layout = Layout(Path(), Path(), number)
        if layout.link not in taken:
            _remove_cgroups(layout)


def _remove_cgroups(layout: Layout) -> None:
    """Removes what a killed kubelet leaves. A group with processes in it cannot be removed."""
    for top in layout.cgroups:
        for folder in (
            sorted((item for item in top.rglob("*") if item.is_dir()), reverse=True)
            if top.is_dir()
            else ()
        ):
            _remove(folder)
        _remove(top)


def _remove(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return
