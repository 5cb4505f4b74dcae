"""The vocabulary: what a service is, whatever it runs on.

Services are described with these values by pure functions; a target turns them into resources.
Sizes are bytes, times seconds, CPUs cores.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic.alias_generators import to_camel

from infra.secret import Secret

Text = str | Secret

CONFIG_DIR = "/etc/groundwork"
"""The directory of the files placed into a container."""

SOCKETS_DIR = "/run/groundwork"
"""The directory below which the sockets of other containers of the stack are mounted."""

PULL_SECRET = "registry-login"  # noqa: S105 - its name
"""The Kubernetes Secret with which images are pulled."""

UPKEEP_SECONDS = 300
"""The time between two runs of a job's upkeep."""

APP_NETWORK = "app"
"""The network where an application's own containers meet what scrapes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A container's limits: bytes of memory, and cores.

    `default_cpus` says that nobody chose the cores: on a host with fewer, they are what it has.
    """

    memory: int
    cpus: float
    default_cpus: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """Data that outlives the container. `path` must be the image's own VOLUME where it has one;
    `size` is in bytes. `folder` is a folder of the host that is taken instead of a new volume.
    """

    name: str
    path: str
    size: int
    folder: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port of the container; `host` is the port on the host, None where it is not published."""

    name: str
    container: int
    host: int | None = None
    scheme: str = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file below CONFIG_DIR, placed before the container starts. Secret content gets mode 0440,
    other 0444.

    `live` says that the service's `reload` makes the engine read it again. One that is `shared` is
    the first content of what a sidecar writes, alone in its folder; the engine reads it again by
    itself.
    """

    path: str
    content: Text
    executable: bool = False
    live: bool = False
    shared: bool = False

    @property
    def mode(self) -> str:
        """The file\'s permissions, octal."""
        if self.shared:
            return "0666"
        if isinstance(self.content, Secret):
            return "0440"
        return "0555" if self.executable else "0444"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """Readiness: a command that exits 0 once the service can serve.

    `command` runs a binary that the image has. Seconds throughout; `deadline` is how long
    a start may take before it counts as failed.
    """

    command: tuple[str, ...]
    interval: int = 3
    timeout: int = 5
    retries: int = 3
    start_period: int = 60

    @property
    def deadline(self) -> int:
        """Seconds after which a start has failed."""
        return self.start_period + self.retries * (self.interval + self.timeout) + 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """A Prometheus endpoint of a service and its credentials. `of` names the service whose state it
    reports, if that is another one; with `tls` its certificate is the stack's.
    """

    port: int
    of: str | None = None
    path: str = "/metrics"
    bearer: Secret | None = None
    username: str | None = None
    password: Secret | None = None
    tls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """The format of a service's log. `first_line` is the expression (RE2) of an entry's first
    line, where entries have several.
    """

    format: Literal["json", "logfmt", "plain"] = "plain"
    first_line: str | None = None


def _own_tmp() -> dict[str, int]:
    return {"/tmp": 64 * 1024**2}  # noqa: S108 - in its own container


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Provisioning of a service: an idempotent script, run with `sh` in the service's own image.

    It runs when its inputs change and when the service's container is a new one (a lost volume
    always is). A failure fails the deploy with the script's last lines. `upkeep` is a script that
    runs every UPKEEP_SECONDS from then on, in the same place.
    """

    name: str
    script: str
    env: Mapping[str, str] = field(default_factory=dict)
    files: tuple[File, ...] = ()
    user: str = "65534:0"
    writable: Mapping[str, int] = field(default_factory=_own_tmp)
    limits: Limits = Limits(memory=128 * 1024**2, cpus=0.5)
    timeout: int = 120
    upkeep: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operated:
    """A custom resource from which an operator runs the service, instead of our own container.

    Refused if the cluster does not know `api_version`; `home` is the operator's web site. `secrets`
    are logins (username, password) that the resource refers to; the operator, known by its pods'
    labels, queries each pod at `status_port`.
    """

    api_version: str
    kind: str
    operator: str
    home: str
    spec: Mapping[str, Any]
    secrets: Mapping[str, Mapping[str, Secret]]
    status_port: int
    operator_labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The source of a service's image.

    `reference` is what is pulled (`repository:tag@sha256:…`), or for a packages image the
    local tag; `recipe` names the folder under `images/` that builds it.
    """

    reference: str
    version: str
    recipe: str | None = None

    @property
    def built(self) -> bool:
        """True if it is built from packages instead of pulled."""
        return self.recipe is not None

    @property
    def major(self) -> int:
        """The first number of the version."""
        return int(self.version.lstrip("v").split(".")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """A helper of a service, in a container of its own that talks to nobody and logs in logfmt.

    It runs as the service's user for as long as the service does. It reads the service's volumes,
    and writes its `shared` files. In a cluster it is ready before the service starts. `volume` is
    the path of one that its image declares and that it does not need.
    """

    name: str
    image: Image
    command: tuple[str, ...]
    readiness: HealthCheck
    limits: Limits
    volume: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Facts about the target that a service may depend on.

    `domain` is appended to a service's name where services are in several namespaces. `log_format`
    is the format of the files below `log_folder`; `namespaces` are those of the stack's pods, none
    where there are no pods. `kubelets` says that the nodes' kubelets provide container metrics, not
    an engine's socket.
    """

    domain: str = ""
    log_folder: str
    log_format: Literal["docker", "cri"]
    namespaces: tuple[str, ...] = ()
    kubelets: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The address and login for clients of a service, ours or external.

    `authority` is the certificate (PEM) of the authority that signed its own, if that is not one of
    the system's.
    """

    host: str
    port: int
    network: str | None
    tls: bool = False
    username: str | None = None
    password: Secret | None = None
    database: str | None = None
    bucket: str | None = None
    authority: str | None = None

    def url(self, scheme: str) -> str:
        """`scheme://host:port`, with an s for TLS."""
        return self.template(scheme).format(host=self.host, port=self.port)

    def template(self, scheme: str) -> str:
        """The same with placeholders for host and port."""
        return f"{scheme}{'s' if self.tls else ''}://{{host}}:{{port}}"

    def login(self) -> dict[str, Any]:
        """The HTTP address and login, as templates write them."""
        return {"url": self.url("http"), "username": self.username, "password": self.password}


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Data that a backup saves: its kind, as `images/backup` knows it, and a login that may read
    and replace everything. `options` are what that kind needs besides.
    """

    name: str
    kind: str
    at: Endpoint
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable with one value."""

    name: str
    value: Text


@dataclass(frozen=True, slots=True)
class Address:
    """An environment variable with an address: from this machine, and with a suffix from inside.

    `template` is filled with host, port, username, password and database; `service` and `port`
    name the published port. `forwarded` is the template for a forward from a cluster, if another.
    """

    name: str
    at: Endpoint
    service: str
    port: str
    template: str
    forwarded: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One container with everything it needs, and how others see it.

    `depends_on` names services that must be ready first, `connects_to` networks it joins without
    waiting; it shares a network with both. `after` names services that start first, if they are
    there, which adds no network. `calls_back` names clients of its own that it connects to in turn.
    `reaches_out` gives it outbound access, which others lack. `settings` is the path of its
    settings, as attribute names, if not under its own name. `reload` is a command, run in the
    container, that makes its engine read its live files again. `serves_sockets` gives it a folder
    for Unix sockets, `sockets`, which the services that name it in `sockets_of` mount read-only.
    `binds` maps host paths to container paths, read-only. Its root file system is read-only except
    for `writable`: folders in memory with their size in bytes; `writable_root` says why an image
    needs more. `open_files` is the number of descriptors it may need. `devices` are the host's,
    readable; `capabilities` are the only ones it keeps. In a cluster `node_metrics` lets it read
    the nodes' own metrics, and `pod_discovery_namespaces` names the namespaces whose pods it may
    list. Where the target has many nodes, `per_node` runs one on each, `replicas` that many
    (replica i of a service with volumes is reached as `<name>-<i>.<name>-members`), and up to
    `max_replicas` while they are busy.
    """

    name: str
    kind: str
    image: Image
    limits: Limits
    readiness: HealthCheck | None
    user: str
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    env: Mapping[str, Text] = field(default_factory=dict)
    files: tuple[File, ...] = ()
    reload: tuple[str, ...] = ()
    volumes: tuple[Volume, ...] = ()
    ports: tuple[Port, ...] = ()
    writable: Mapping[str, int] = field(default_factory=_own_tmp)
    writable_root: str | None = None
    open_files: int | None = None
    serves_sockets: bool = False
    sockets_of: str | None = None
    binds: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    connects_to: tuple[str, ...] = ()
    calls_back: tuple[str, ...] = ()
    network: str | None = None
    reaches_out: bool = False
    host_gateway: bool = False
    host_pid: bool = False
    shm_size: int | None = None
    per_node: bool = False
    node_metrics: bool = False
    pod_discovery_namespaces: tuple[str, ...] = ()
    replicas: int = 1
    max_replicas: int = 1
    peer_ports: tuple[int, ...] = ()
    settings: tuple[str, ...] = ()
    operated: Operated | None = None
    stop_grace: int = 10
    jobs: tuple[Job, ...] = ()
    sidecars: tuple[Sidecar, ...] = ()
    metrics: tuple[Metrics, ...] = ()
    logs: Logs = Logs()
    checks: Mapping[str, str] = field(default_factory=dict)
    credentials: Mapping[str, Secret] = field(default_factory=dict)

    @property
    def settings_key(self) -> str:
        """Its configuration key, such as `groundwork:redis.cache`."""
        return "groundwork:" + ".".join(map(to_camel, self.settings or (self.name,)))

    @property
    def memory(self) -> int:
        """Bytes that one replica may take, its sidecars' included."""
        return self.limits.memory + sum(item.limits.memory for item in self.sidecars)

    @property
    def helpers(self) -> tuple[Job | Sidecar, ...]:
        """What has a container beside its own, on Docker."""
        return (*self.jobs, *self.sidecars)

    @property
    def home_network(self) -> str:
        """The network this service is reached on."""
        return self.network or self.name

    @property
    def sockets(self) -> str:
        """The folder of its Unix sockets, in its own container and in those that use them."""
        return f"{SOCKETS_DIR}/{self.name}"

    @property
    def starts_after(self) -> tuple[str, ...]:
        """The services that must be ready before it starts, if they are there."""
        return (*self.depends_on, *self.after)

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks it joins: its own first, then those of the services it talks to."""
        return tuple(dict.fromkeys((self.home_network, *self.depends_on, *self.connects_to)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something that was asked for but is not deployed, with the reason, for the summary."""

    service: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Everything one stack deploys."""

    services: tuple[Service, ...]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def networks(self) -> tuple[str, ...]:
        """Every service's networks, and the one for scraped applications."""
        return tuple(
            sorted(
                {network for service in self.services for network in service.networks}
                | {APP_NETWORK}
            )
        )

    @property
    def images(self) -> dict[str, tuple[str, Image]]:
        """Each image by its reference, with the service that needs it."""
        needed = [
            (service.name, image)
            for service in self.services
            for image in (service.image, *(sidecar.image for sidecar in service.sidecars))
        ]
        return {image.reference: (name, image) for name, image in reversed(needed)}

    def in_order(self) -> Iterator[Service]:
        """Each service after those that it needs."""
        pending, names, done = (
            list(self.services),
            {service.name for service in self.services},
            set[str](),
        )
        while pending:
            service = next(item for item in pending if not (set(item.starts_after) & names) - done)
            pending.remove(service)
            done.add(service.name)
            yield service

    def by_name(self, name: str) -> Service:
        """The service of that name. Raises StopIteration if there is none."""
        return next(service for service in self.services if service.name == name)
