"""Free ports for stacks that exist beside others on this host."""

import socket
from collections.abc import Collection, Iterable

from ops import console

EPHEMERAL = 32768  # from here Linux takes ports for outgoing connections: ip_local_port_range


def free_offset(ports: Collection[int], offsets: Iterable[int]) -> int:
    """The first offset at which all ports are free and stay so.

    Raises Failed if there is none.
    """
    for offset in offsets:
        shifted = [port + offset for port in ports]
        if max(shifted) < EPHEMERAL and all(map(_free, shifted)):
            return offset
    raise console.Failed("no range of ports is free on this machine", "stop what uses them")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
