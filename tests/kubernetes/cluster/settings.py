"""Addresses and file names of the tests' own cluster, in one place."""

from dataclasses import dataclass
from pathlib import Path

CONTEXT = "groundwork-test"
NODE = "groundwork-test"
POD_CIDR = "10.244.0.0/24"
SERVICE_CIDR = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"
API_PORT = 6443
STORAGE_CLASS = "local-path"
PAUSE_IMAGE = "docker.io/groundwork/pause:1"


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths and addresses of one cluster."""

    root: Path
    tools: Path
    subnet: int

    @property
    def host_address(self) -> str:
        """The host's end of the link; what runs on the host is reached there from pods."""
        return f"10.231.{self.subnet}.1"

    @property
    def address(self) -> str:
        """The node's end of the link."""
        return f"10.231.{self.subnet}.2"

    @property
    def link(self) -> str:
        """The name of the link's end on the host."""
        return f"gwkube{self.subnet}"

    @property
    def pki(self) -> Path:
        """Certificates."""
        return self.root / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.root / "kubeconfig"

    @property
    def logs(self) -> Path:
        """One log a program."""
        return self.root / "logs"

    @property
    def containerd_socket(self) -> Path:
        """The address of containerd."""
        return self.root / "containerd.sock"

    @property
    def cgroups(self) -> tuple[Path, ...]:
        """The control groups under which the kubelet puts its pods: one, or with cgroup v1 one a
        controller.
        """
        top = Path("/sys/fs/cgroup")
        if (top / "cgroup.controllers").exists():
            return (top / self.link,)
        return tuple(
            folder / self.link
            for folder in sorted(top.iterdir())
            if folder.is_dir() and not folder.is_symlink()
        )
