"""Services become containers, networks and volumes on a Docker host.

The provider has peculiarities, which `docs/decisions/0004-provider-traps.md` lists.
"""

import hashlib
import ipaddress
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_docker as docker

from infra.identity import Identity
from infra.secret import Keyring
from infra.settings import Settings
from infra.spec import CONFIG_DIR, File, Image, Job, Platform, Service, Sidecar
from infra.targets.checks import ledger
from infra.targets.docker import arguments, files, jobs
from infra.targets.docker.facts import HostFacts
from infra.targets.docker.naming import (
    FILES_ROLE,
    FILLED,
    LEDGER_ROLE,
    OUTBOUND,
    PUBLISHED,
    SOCKETS_ROLE,
    networks_of,
    ordinary_network,
)
from infra.targets.docker.readiness import Pace
from infra.units import MIB

_NO_NEIGHBOURS = {"com.docker.network.bridge.enable_icc": "false"}

# The labels stand beside each line, so that whoever reads the files needs no access to the engine.
_LOGGING = {
    "labels": "groundwork.instance,groundwork.job,groundwork.service",
    "max-file": "3",
    "max-size": "10m",
}


class DockerTarget:
    """Declares one platform's resources. `containers` maps a service's name to its container."""

    def __init__(
        self,
        settings: Settings,
        identity: Identity,
        facts: HostFacts,
        fill: pulumi.ResourceHook | None = None,
    ) -> None:
        """`fill` places the services' files once the container for them is there."""
        self._settings = settings
        self._fill = fill
        self._stamps = Keyring(settings.master_secret).checksum_key
        self._files: dict[str, docker.Volume] = {}
        self._identity = identity
        self._facts = facts
        self._pace = Pace(facts.api)
        self.networks: dict[str, docker.Network] = {}
        self._images: dict[str, docker.RemoteImage] = {}
        self._volumes: dict[str, docker.Volume] = {}
        self._services: dict[str, Service] = {}
        self._ready: dict[str, list[pulumi.Resource]] = {}
        self._called_back: frozenset[tuple[str, str]] = frozenset()
        self.containers: dict[str, docker.Container] = {}

    def deploy(self, platform: Platform) -> None:
        """Everything, in the order of `depends_on`."""
        self._services = {service.name: service for service in platform.services}
        self._declare_networks(platform)
        self._called_back = frozenset(
            (name, service.home_network)
            for service in platform.services
            for name in service.calls_back
        )
        before: list[pulumi.Resource] = []
        with_files = [service for service in platform.in_order() if files.mounted(service)]
        if with_files:
            before.append(self._loader(with_files))
        for service in platform.in_order():
            container = self._container(service, before)
            self.containers[service.name] = container
            self._ready[service.name] = [
                container,
                *(self._job(service, job, container) for job in service.jobs),
            ]
            for sidecar in service.sidecars:
                self._sidecar(service, sidecar, container)
        if versions := ledger(platform):
            self._ledger(versions, [self.containers[name] for name in versions])

    def _declare_networks(self, platform: Platform) -> None:
        for name in platform.networks:
            self.networks[name] = self._network(name, internal=True, options=None)
        # A published port, and a way out of the host, each need an ordinary network. Their members
        # cannot talk to each other, so that they open no way around the networks above; and what
        # is only published has no address that an answer from outside could find, so that a store
        # reaches nobody.
        for name, options in (
            (
                PUBLISHED,
                {**_NO_NEIGHBOURS, "com.docker.network.bridge.enable_ip_masquerade": "false"},
            ),
            (OUTBOUND, _NO_NEIGHBOURS),
        ):
            if name in networks_of(platform):
                self.networks[name] = self._network(name, internal=False, options=options)

    def _network(
        self, name: str, *, internal: bool, options: Mapping[str, str] | None
    ) -> docker.Network:
        full = self._identity.name(name)
        return docker.Network(
            full,
            name=full,
            driver="bridge",
            internal=internal,
            options=options,
            labels=[
                docker.NetworkLabelArgs(label=key, value=value)
                for key, value in self._labels().items()
            ],
            opts=pulumi.ResourceOptions(delete_before_replace=True),
        )

    def _volume(self, name: str) -> docker.Volume:
        if name not in self._volumes:
            full = self._identity.name(name)
            self._volumes[name] = docker.Volume(
                full,
                name=full,
                labels=self._volume_labels(),
                # Data outlives the program: `destroy` forgets a volume, only `make purge` deletes
                # it.
                opts=pulumi.ResourceOptions(retain_on_delete=True, protect=self._settings.protect),
            )
        return self._volumes[name]

    def _ledger(self, versions: Mapping[str, str], stores: Sequence[pulumi.Resource]) -> None:
        """An empty volume whose labels record which versions have opened the data.

        It is made once all of them are healthy, and a new one at each change, so that a later
        deploy can refuse a downgrade even when every container is gone. A version that never was
        healthy is not recorded, and blocks no way back.
        """
        stamp = "-".join(f"{name}.{version}" for name, version in sorted(versions.items()))
        full = self._identity.name(f"ledger-{_stamp(stamp)}")
        opened = {f"version.{name}": version for name, version in versions.items()}
        docker.Volume(
            full,
            name=full,
            labels=self._volume_labels(role=LEDGER_ROLE, **opened),
            opts=pulumi.ResourceOptions(retain_on_delete=True, depends_on=list(stores)),
        )

    def _loader(self, services: Sequence[Service]) -> docker.Container:
        """The container by way of which the volumes of the services' files are filled. It is
        created but never started. Another label makes it, and fills them, again.
        """
        for service in services:
            full = self._identity.name(files.volume(service, self._stamps))
            labels = self._volume_labels(role=FILES_ROLE)
            self._files[service.name] = docker.Volume(full, name=full, labels=labels)
        full = self._identity.name(FILES_ROLE)
        return docker.Container(
            full,
            name=full,
            restart="no",
            start=False,
            must_run=False,
            network_mode="none",
            image=self._image(services[0].image),
            entrypoints=["/never-started"],
            mounts=[
                docker.ContainerMountArgs(
                    type="volume",
                    source=self._files[service.name].name,
                    target=files.folder(service),
                )
                for service in services
            ],
            labels=self._container_labels(
                role=FILES_ROLE,
                **{FILLED: self._facts.filled or secrets.token_hex(4)},
                **files.labels(services, self._stamps),
            ),
            opts=pulumi.ResourceOptions(
                delete_before_replace=True,
                hooks=(
                    pulumi.ResourceHookBinding(after_create=[self._fill]) if self._fill else None
                ),
            ),
        )

    def _labels(self, **more: str) -> dict[str, str]:
        return dict(
            sorted(
                {
                    **self._identity.labels,
                    **{f"groundwork.{key}": value for key, value in more.items()},
                }.items()
            )
        )

    def _image(self, image: Image) -> pulumi.Input[str]:
        if image.built:
            return self._facts.image_ids.get(image.reference, image.reference)
        if image.reference not in self._images:
            tagged = image.reference.partition("@")[0]
            self._images[image.reference] = docker.RemoteImage(
                self._identity.name(f"image-{tagged.rpartition('/')[2].replace(':', '-')}"),
                name=image.reference,
                keep_locally=True,
            )
        return self._images[image.reference].image_id

    def _container(self, service: Service, before: Sequence[pulumi.Resource]) -> docker.Container:
        ordinary = ordinary_network(service)
        networks = [*service.networks, *([ordinary] if ordinary else [])]
        depends = [
            *before,
            *(item for name in service.starts_after for item in self._ready.get(name, ())),
        ]
        mounts = [
            *self._mounts(service, beside=False),
            *self._socket_mounts(service),
            *self._bind_mounts(service),
        ]
        health = service.readiness
        read_only = service.writable_root is None
        return self._declare(
            service.name,
            depends=depends,
            image=self._image(service.image),
            user=service.user,
            entrypoints=list(service.entrypoint) or None,
            command=list(service.command) or None,
            envs=arguments.envs(service.env),
            uploads=[arguments.upload(item) for item in service.files if not files.by_volume(item)]
            or None,
            mounts=mounts or None,
            networks_advanced=self._attach(networks, service),
            ports=[
                docker.ContainerPortArgs(
                    internal=port.container,
                    external=port.host,
                    ip=self._settings.bind_address,
                    protocol="tcp",
                )
                for port in service.ports
                if port.host is not None
            ]
            or None,
            hosts=(
                [docker.ContainerHostArgs(host="host.docker.internal", ip="host-gateway")]
                if service.host_gateway
                else None
            ),
            pid_mode="host" if service.host_pid else None,
            devices=[
                docker.ContainerDeviceArgs(host_path=path, container_path=path, permissions="r")
                for path in service.devices
            ]
            or None,
            keeps=service.capabilities,
            shm_size=max(64, service.shm_size // MIB) if service.shm_size else None,
            read_only=read_only or None,
            tmpfs=arguments.tmpfs(service.writable, service.user) if read_only else None,
            ulimits=arguments.ulimits(service.open_files, self._facts.open_files),
            sysctls=self._sysctls(service),
            healthcheck=(
                # Images from elsewhere may have no shell.
                self._pace.check(health, patient=service.image.built) if health else None
            ),
            wait=health is not None,
            wait_timeout=self._pace.deadline(health) if health else None,
            destroy_grace_seconds=service.stop_grace,
            stop_timeout=service.stop_grace,
            **arguments.limits(service.limits),
            labels=self._container_labels(service=service.name, version=service.image.version),
        )

    def _mounts(self, service: Service, *, beside: bool) -> list[docker.ContainerMountArgs]:
        """A service's data, to which it writes itself, and its files, to which what runs `beside`
        it writes.
        """
        mounts = [
            docker.ContainerMountArgs(
                type="bind" if volume.folder else "volume",
                source=volume.folder or self._volume(volume.name).name,
                target=volume.path,
                read_only=beside or None,
            )
            for volume in service.volumes
        ]
        if service.name in self._files:
            mounts.append(
                docker.ContainerMountArgs(
                    type="volume",
                    source=self._files[service.name].name,
                    target=CONFIG_DIR,
                    read_only=not beside or None,
                )
            )
        return mounts

    def _socket_mounts(self, service: Service) -> list[docker.ContainerMountArgs]:
        """Folders with sockets: the service's own, which it writes to, and the one that it uses."""
        mounted = [(service, False)] if service.serves_sockets else []
        if service.sockets_of is not None:
            mounted.append((self._services[service.sockets_of], True))
        return [
            docker.ContainerMountArgs(
                type="volume",
                source=self._socket_volume(of.name).name,
                target=of.sockets,
                read_only=read_only or None,
            )
            for of, read_only in mounted
        ]

    def _socket_volume(self, name: str) -> docker.Volume:
        part = f"{name}-sockets"
        if part not in self._volumes:
            full = self._identity.name(part)
            labels = self._volume_labels(role=SOCKETS_ROLE)
            self._volumes[part] = docker.Volume(full, name=full, labels=labels)
        return self._volumes[part]

    def _bind_mounts(self, service: Service) -> list[docker.ContainerMountArgs]:
        """The host's files, but for those that this kind of engine does not have."""

        return [
            docker.ContainerMountArgs(
                type="bind",
                source=on_host,
                # Below /rootfs a container looks for the host's folders under their own names.
                target=f"/rootfs{on_host}" if path == f"/rootfs{source}" else path,
                read_only=True,
                bind_options=docker.ContainerMountBindOptionsArgs(propagation="rslave"),
            )
            for source, path in service.binds.items()
            if (on_host := self._facts.files.locate(source)) is not None
        ]

    def _sysctls(self, service: Service) -> dict[str, str] | None:
        """A TTL of one hop for services published on loopback only, so that no router forwards
        their packets.
        """
        loopback = ipaddress.IPv4Address(self._settings.bind_address).is_loopback
        return (
            {"net.ipv4.ip_default_ttl": "1"}
            if ordinary_network(service) == PUBLISHED and loopback
            else None
        )

    def _job(self, service: Service, job: Job, container: docker.Container) -> docker.Container:
        scripts = [File(path=jobs.SCRIPT, content=job.script)]
        if job.upkeep is not None:
            scripts.append(File(path=jobs.UPKEEP, content=job.upkeep))
        return self._declare(
            job.name,
            depends=[container],
            image=self._image(service.image),
            user=job.user,
            entrypoints=["sh", "-c", jobs.RUNNER],
            # A service whose container is a new one may have an empty volume: provision it again.
            envs=[
                *arguments.envs(job.env),
                pulumi.Output.concat("GROUNDWORK_FOR_CONTAINER=", container.id),
            ],
            uploads=[arguments.upload(item) for item in (*job.files, *scripts)],
            networks_advanced=self._attach([service.home_network], None),
            ulimits=arguments.ulimits(None, None),
            healthcheck=self._pace.check(jobs.readiness(job), steady=jobs.STEADY),
            wait=True,
            wait_timeout=job.timeout,
            destroy_grace_seconds=1,
            init=True,
            **arguments.limits(job.limits),
            labels=self._container_labels(service=service.name, job=job.name),
        )

    def _sidecar(
        self, service: Service, sidecar: Sidecar, container: docker.Container
    ) -> docker.Container:
        """After its service: the first container to mount an empty volume decides whose it is.

        Not in the group that may read secret files, which lie beside the shared ones.
        """
        uid = service.user.partition(":")[0]
        user = f"{uid}:{uid}"
        return self._declare(
            sidecar.name,
            depends=[container],
            image=self._image(sidecar.image),
            user=user,
            entrypoints=list(sidecar.command),
            mounts=self._mounts(service, beside=True),
            network_mode="none",
            read_only=True,
            # Or the engine would make a volume without a name, and leave it behind.
            tmpfs=arguments.tmpfs({sidecar.volume: MIB}, user) if sidecar.volume else None,
            ulimits=arguments.ulimits(None, None),
            healthcheck=self._pace.check(sidecar.readiness, patient=True),
            wait=True,
            wait_timeout=self._pace.deadline(sidecar.readiness),
            destroy_grace_seconds=1,
            init=True,
            **arguments.limits(sidecar.limits),
            labels=self._container_labels(service=sidecar.name),
        )

    def _declare(
        self,
        part: str,
        *,
        depends: Sequence[pulumi.Resource],
        keeps: Sequence[str] = (),
        **given: Any,
    ) -> docker.Container:
        full = self._identity.name(part)
        return docker.Container(
            full,
            name=full,
            # After a crash of the engine what still ran counts as stopped by hand, and
            # `unless-stopped` would leave it so (seen with engine 20.10).
            restart="always",
            capabilities=docker.ContainerCapabilitiesArgs(
                drops=["ALL"], adds=[f"CAP_{name}" for name in keeps] or None
            ),
            # Docker adds label=disable by itself where the host's processes are visible.
            security_opts=[
                "no-new-privileges:true",
                *(["label=disable"] if given.get("pid_mode") else []),
            ],
            log_driver="json-file",
            log_opts=_LOGGING,
            **{name: value for name, value in given.items() if value is not None},
            opts=pulumi.ResourceOptions(
                depends_on=list(depends),
                delete_before_replace=True,
                # The provider reports these as updated and changes nothing.
                replace_on_changes=["cpuQuota", "healthcheck", "mounts", "tmpfs"],
            ),
        )

    def _volume_labels(self, **more: str) -> list[docker.VolumeLabelArgs]:
        return [
            docker.VolumeLabelArgs(label=key, value=value)
            for key, value in self._labels(**more).items()
        ]

    def _container_labels(self, **more: str) -> list[docker.ContainerLabelArgs]:
        return [
            docker.ContainerLabelArgs(label=key, value=value)
            for key, value in self._labels(**more).items()
        ]

    def _attach(
        self, networks: Sequence[str], service: Service | None
    ) -> list[docker.ContainerNetworksAdvancedArgs]:
        def found(network: str) -> bool:
            """True if members of the network find the service there by its name."""
            return service is not None and (
                network == service.home_network or (service.name, network) in self._called_back
            )

        return [
            docker.ContainerNetworksAdvancedArgs(
                name=self.networks[name].name,
                aliases=[service.name] if service and found(name) else [],
            )
            for name in networks
        ]


def _stamp(text: str) -> str:
    """A short stable hash for a resource's name."""
    return hashlib.sha256(text.encode()).hexdigest()[:10]
