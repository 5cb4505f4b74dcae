"""Runs inside the cluster's own process, mount and network namespaces, as their first process.

When it ends, the kernel ends every process in them and takes the network along: nothing is left.
`python -m tests.kubernetes.cluster.node ROOT TOOLS SUBNET`.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import yaml

from tests.kubernetes.cluster.settings import (
    API_PORT,
    NODE,
    PAUSE_IMAGE,
    POD_CIDR,
    SERVICE_ADDRESS,
    SERVICE_CIDR,
    STORAGE_CLASS,
    Layout,
)
from tests.support.waiting import TimedOut, wait_until

_SECONDS = 60
_CNI_PLUGINS = "/usr/lib/cni"


def main() -> None:
    """Starts everything and then only reaps, until it is killed."""
    layout = Layout(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    layout.logs.mkdir(parents=True, exist_ok=True)
    _prepare(layout)
    programs: dict[int, str] = {}
    for name, command in _programs(layout):
        _start(layout, name, command, programs)
    _reap(programs)


def _programs(layout: Layout) -> Iterator[tuple[str, list[str]]]:
    """Each program and its command, in the order in which they are started. Those that end where
    another is not there yet come after it.
    """
    client = f"--kubeconfig={layout.kubeconfig}"
    yield "containerd", ["containerd", "--config", str(_containerd_config(layout))]
    yield "etcd", _etcd(layout)
    yield "kube-apiserver", _api_server(layout)
    _until(lambda: _answers(API_PORT), "the API server answers")
    yield (
        "kube-controller-manager",
        [
            _tool(layout, "kube-controller-manager"),
            client,
            f"--service-account-private-key-file={layout.pki / 'accounts.key'}",
            f"--root-ca-file={layout.pki / 'ca.crt'}",
            f"--cluster-cidr={POD_CIDR}",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        ],
    )
    yield (
        "kube-scheduler",
        [
            _tool(layout, "kube-scheduler"),
            client,
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        ],
    )
    yield (
        "kube-proxy",
        [
            _tool(layout, "kube-proxy"),
            f"--config={_proxy_config(layout)}",
            f"--hostname-override={NODE}",
        ],
    )
    _until(layout.containerd_socket.exists, "containerd has its socket")
    yield (
        "kubelet",
        [
            _tool(layout, "kubelet"),
            f"--config={_kubelet_config(layout)}",
            client,
            f"--root-dir={layout.root / 'kubelet'}",
            f"--hostname-override={NODE}",
            f"--node-ip={layout.address}",
            # Where cAdvisor inside the kubelet asks which cgroup is which container; its default is
            # the usual socket.
            f"--containerd={layout.containerd_socket}",
        ],
    )
    yield "coredns", [_tool(layout, "coredns"), "-conf", str(_dns_config(layout))]
    yield (
        "local-path-provisioner",
        [
            _tool(layout, "local-path-provisioner"),
            "start",
            client,
            f"--config={_storage_config(layout)}",
            "--namespace=kube-system",
            f"--provisioner-name={STORAGE_CLASS}",
            f"--helper-image={PAUSE_IMAGE}",
            f"--helper-pod-file={_helper_pod(layout)}",
        ],
    )


def _until(condition: Callable[[], bool], reason: str) -> None:
    try:
        wait_until(condition, timeout=_SECONDS, interval=0.05, reason=reason)
    except TimedOut as error:
        raise SystemExit(str(error)) from error


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _reap(programs: Mapping[int, str]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        pid, status = os.wait()
        if pid in programs:
            raise SystemExit(
                f"{programs[pid]} ended with status {os.waitstatus_to_exitcode(status)}"
            )


def _start(layout: Layout, name: str, command: list[str], programs: dict[int, str]) -> None:
    with (layout.logs / f"{name}.log").open("ab") as log:
        programs[
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=layout.root
            ).pid
        ] = name


def _tool(layout: Layout, name: str) -> str:
    return str(layout.tools / name)


def _prepare(layout: Layout) -> None:
    for command in (
        ["mount", "--make-rshared", "/"],
        # Pods' logs stand where every cluster has them, and go with this mount namespace.
        ["mount", "-t", "tmpfs", "-o", "size=512m", "groundwork-logs", "/var/log"],
        ["mkdir", "/var/log/pods"],
        ["ip", "link", "set", "lo", "up"],
        # The other end of the link is moved in by whoever started this.
    ):
        subprocess.run(command, check=True)
    _until(
        lambda: (
            subprocess.run(
                ["ip", "link", "show", "eth0"], capture_output=True, check=False
            ).returncode
            == 0
        ),
        "the other end of the link is here",
    )
    for command in (
        ["ip", "address", "add", f"{layout.address}/30", "dev", "eth0"],
        ["ip", "link", "set", "eth0", "up"],
        ["ip", "route", "add", "default", "via", layout.host_address],
    ):
        subprocess.run(command, check=True)
    for name, value in (("net/ipv4/ip_forward", "1"), ("net/bridge/bridge-nf-call-iptables", "1")):
        setting = Path("/proc/sys") / name
        if setting.exists():
            setting.write_text(value)
    for controller in layout.cgroups:
        controller.mkdir(exist_ok=True)
    configuration = {
        "cniVersion": "0.4.0",
        "name": "groundwork",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "ipMasq": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": POD_CIDR}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": str(layout.root / "cni-data"),
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
    (layout.root / "cni").mkdir(exist_ok=True)
    (layout.root / "cni" / "10-groundwork.conflist").write_text(json.dumps(configuration))


def _containerd_config(layout: Layout) -> Path:
    path = layout.root / "containerd.toml"
    runtime = shutil.which("runc") or "runc"
    path.write_text(f"""\
version = 2
root = "{layout.root / "containerd"}"
state = "{layout.root / "containerd-state"}"
[grpc]
  address = "{layout.containerd_socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{_CNI_PLUGINS}"
    conf_dir = "{layout.root / "cni"}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "{runtime}"
        SystemdCgroup = false
""")
    return path


def _etcd(layout: Layout) -> list[str]:
    url, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    return [
        "etcd",
        f"--data-dir={layout.root / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        # The data lives as long as the tests do.
        "--unsafe-no-fsync",
    ]


def _api_server(layout: Layout) -> list[str]:
    pki = layout.pki
    return [
        _tool(layout, "kube-apiserver"),
        "--etcd-servers=http://127.0.0.1:2379",
        "--bind-address=0.0.0.0",
        f"--secure-port={API_PORT}",
        f"--advertise-address={layout.address}",
        f"--tls-cert-file={pki / 'server.crt'}",
        f"--tls-private-key-file={pki / 'server.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / 'admin.crt'}",
        f"--kubelet-client-key={pki / 'admin.key'}",
        f"--service-account-key-file={pki / 'accounts.key'}",
        f"--service-account-signing-key-file={pki / 'accounts.key'}",
        f"--service-account-issuer=https://{SERVICE_ADDRESS}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--authorization-mode=Node,RBAC",
        "--kubelet-preferred-address-types=InternalIP",
        "--allow-privileged=true",
        "--enable-aggregator-routing=false",
    ]


def _proxy_config(layout: Layout) -> Path:
    path = layout.root / "proxy.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
                "kind": "KubeProxyConfiguration",
                "mode": "iptables",
                "clientConnection": {"kubeconfig": str(layout.kubeconfig)},
                "clusterCIDR": POD_CIDR,
                "conntrack": {
                    "maxPerCore": 0,
                    "min": 0,
                    "tcpEstablishedTimeout": "0s",
                    "tcpCloseWaitTimeout": "0s",
                },
                "healthzBindAddress": "127.0.0.1:10256",
                "metricsBindAddress": "127.0.0.1:10249",
                "iptables": {"minSyncPeriod": "0s", "syncPeriod": "30s"},
            }
        )
    )
    return path


def _kubelet_config(layout: Layout) -> Path:
    path = layout.root / "kubelet.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "kubelet.config.k8s.io/v1beta1",
                "kind": "KubeletConfiguration",
                "authentication": {
                    "anonymous": {"enabled": False},
                    "x509": {"clientCAFile": str(layout.pki / "ca.crt")},
                },
                "tlsCertFile": str(layout.pki / "server.crt"),
                "tlsPrivateKeyFile": str(layout.pki / "server.key"),
                "containerRuntimeEndpoint": f"unix://{layout.containerd_socket}",
                "cgroupDriver": "cgroupfs",
                "cgroupRoot": f"/{layout.link}",
                "failSwapOn": False,
                "clusterDNS": [layout.address],
                "clusterDomain": "cluster.local",
                "podLogsDir": "/var/log/pods",
                "volumePluginDir": str(layout.root / "volume-plugins"),
                "makeIPTablesUtilChains": True,
                "evictionHard": {
                    "memory.available": "100Mi",
                    "nodefs.available": "100Mi",
                    "imagefs.available": "100Mi",
                },
                "imageGCHighThresholdPercent": 100,
                "imageMinimumGCAge": "1000h",
                "nodeStatusUpdateFrequency": "5s",
                "registerNode": True,
                "serializeImagePulls": True,
                "resolvConf": str(_resolv_conf(layout)),
                # What is watched changes quickly here, and there is one node.
                "syncFrequency": "10s",
                "volumeStatsAggPeriod": "0s",
            }
        )
    )
    return path


def _dns_config(layout: Layout) -> Path:
    path = layout.root / "Corefile"
    path.write_text(f"""\
.:53 {{
    errors
    ready 127.0.0.1:8181
    bind {layout.address}
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {layout.kubeconfig}
        pods disabled
        ttl 5
    }}
}}
""")
    return path


def _storage_config(layout: Layout) -> Path:
    path = layout.root / "storage.json"
    paths = [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [str(layout.root / "volumes")]}]
    path.write_text(
        json.dumps({"nodePathMap": paths, "setupCommand": "/pause", "teardownCommand": "/pause"})
    )
    return path


def _helper_pod(layout: Layout) -> Path:
    path = layout.root / "helper-pod.yaml"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper-pod"},
        "spec": {
            "containers": [{"name": "helper-pod", "image": PAUSE_IMAGE, "imagePullPolicy": "Never"}]
        },
    }
    path.write_text(yaml.safe_dump(pod))
    return path


def _resolv_conf(layout: Layout) -> Path:
    # Nobody is asked further: the tests reach no network but the cluster's own.
    path = layout.root / "resolv.conf"
    path.write_text("nameserver 127.0.0.1\n")
    return path


if __name__ == "__main__":
    main()
