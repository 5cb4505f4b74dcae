"""Endpoints inside a cluster, forwarded to this machine by `kubectl port-forward`."""

import re
import shutil
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from queue import Empty, Queue
from typing import Any

from ops import console

_SECONDS = 20
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ->")


def kubectl(target: Mapping[str, str]) -> list[str]:
    """The command that reaches a stack's cluster, from its `target` output. Raises Failed without
    kubectl.
    """
    found = shutil.which("kubectl")
    if found is None:
        raise console.Failed(
            "services in a cluster are reached through kubectl, which is not installed here",
            "install it: https://kubernetes.io/docs/tasks/tools/",
        )
    return [
        found,
        f"--context={target['context']}",
        *([f"--kubeconfig={target['kubeconfig']}"] if target["kubeconfig"] else []),
    ]


@dataclass(slots=True)
class Forwards:
    """Open forwards, one for each service and port; `close` ends them."""

    target: Mapping[str, str]
    _open: dict[tuple[str, str, int], tuple[subprocess.Popen[str], int]] = field(
        default_factory=dict
    )

    def local_port(self, namespace: str, service: str, port: int, *, local: int = 0) -> int:
        """The port on 127.0.0.1 that leads to a Service's port; any free one, or `local`. Raises
        Failed.
        """
        key = (namespace, service, port)
        if key in self._open and self._open[key][0].poll() is None:
            return self._open[key][1]
        process = subprocess.Popen(
            [
                *kubectl(self.target),
                "--namespace",
                namespace,
                "port-forward",
                f"service/{service}",
                f"{local or ''}:{port}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        lines: Queue[str] = Queue()
        threading.Thread(target=_read, args=(process, lines), daemon=True).start()
        said = ""
        while True:
            try:
                line = lines.get(timeout=_SECONDS)
            except Empty:
                line = ""
            said += line
            found = _FORWARDING.search(line)
            if found:
                self._open[key] = (process, int(found[1]))
                return int(found[1])
            if not line:
                process.kill()
                process.wait()
                raise console.Failed(
                    f"{service}.{namespace}:{port} cannot be reached:"
                    f" {said.strip() or 'kubectl port-forward printed nothing'}",
                    f"make logs S={service}; if the port is taken on this machine, free it or set"
                    " groundwork:portOffset",
                )

    def wait(self) -> None:
        """Returns when the first forward ends."""
        while all(process.poll() is None for process, _ in self._open.values()):
            threading.Event().wait(1)

    def close(self) -> None:
        """Ends every forward."""
        for process, _ in self._open.values():
            process.kill()
            process.wait()
        self._open.clear()


def _read(process: subprocess.Popen[str], lines: "Queue[str]") -> None:
    for line in process.stdout or ():
        lines.put(line)
    lines.put("")
    if process.stdout:
        process.stdout.close()


def everything(outputs: Mapping[str, Any]) -> None:
    """Forwards a stack's endpoints to the ports in its outputs and `.env`, until interrupted."""
    forwards = Forwards(outputs["target"])
    try:
        for name, service in outputs["services"].items():
            for end in service["endpoints"].values():
                port = forwards.local_port(
                    service["namespace"], name, end["servicePort"], local=end["port"]
                )
                console.out.print(f"  {name}: {end['scheme']}://127.0.0.1:{port}")
        console.out.print("All endpoints are forwarded until this ends (Ctrl-C).")
        forwards.wait()
        raise console.Failed("a forward has ended: its pod is gone", "run `make forward` again")
    finally:
        forwards.close()
