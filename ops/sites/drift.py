"""Finds where the engine differs from the state. It reads the engine once, while a refresh queries
each resource.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import docker

from infra.units import MIB

_CONTAINER, _NETWORK, _VOLUME = (
    f"docker:index/{kind}" for kind in ("container:Container", "network:Network", "volume:Volume")
)


def find(resources: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of resources that are gone, stopped or different from the state; empty if there are
    none.
    """
    wanted = [
        resource
        for resource in resources
        if resource["type"] in (_CONTAINER, _NETWORK, _VOLUME) and not resource.get("delete")
    ]
    client = docker.from_env()
    try:
        networks = {item["Id"] for item in client.api.networks()}
        volumes = {item["Name"] for item in client.api.volumes()["Volumes"] or []}
        known = {item["Id"] for item in client.api.containers(all=True)}
        return [
            str(resource["inputs"]["name"])
            for resource in wanted
            if any(_differs(client, resource, known, networks, volumes))
        ]
    finally:
        client.close()


def _differs(
    client: docker.DockerClient,
    resource: Mapping[str, Any],
    containers: set[str],
    networks: set[str],
    volumes: set[str],
) -> Iterator[bool]:
    match resource["type"]:
        case kind if kind == _NETWORK:
            yield resource.get("id") not in networks
        case kind if kind == _VOLUME:
            yield resource.get("id") not in volumes
        case _ if resource.get("id") not in containers:
            yield True
        case _:
            yield from _container_differs(
                client.api.inspect_container(resource["id"]), resource["inputs"]
            )


def _container_differs(shown: Mapping[str, Any], inputs: Mapping[str, Any]) -> Iterator[bool]:
    if inputs.get("mustRun") is False:
        yield shown["Image"] != inputs["image"]
        return
    host = shown["HostConfig"]
    yield not shown["State"]["Running"]
    yield (shown["State"].get("Health") or {}).get("Status") == "unhealthy"
    yield shown["Image"] != inputs["image"]
    yield host["Memory"] != int(inputs["memory"]) * MIB
    yield host["CpuQuota"] != int(inputs["cpuQuota"])
    yield host["RestartPolicy"]["Name"] != inputs["restart"]
    mounted = {mount.get("Name") for mount in shown["Mounts"]}
    yield any(
        mount["source"] not in mounted
        for mount in inputs.get("mounts", ())
        if mount["type"] == "volume"
    )
    joined = {network["NetworkID"] for network in shown["NetworkSettings"]["Networks"].values()}
    # Without any, the engine shows one that is called none.
    yield len(joined) != len(inputs.get("networksAdvanced", ("none",)))
