"""Names and roles that facts, checks and resources of a Docker host share."""

from infra.spec import Platform, Service

LEDGER_ROLE, FILES_ROLE, SOCKETS_ROLE = "ledger", "files", "sockets"
"""Role labels of containers and volumes that serve no client."""

FILLED_MARK, FILLED = "/filled", "filled"
"""The file in the container that places files, and its label, which say that all are placed."""

JOB_GAVE_UP = 75
"""Exit status of a job that failed several times in a row (sysexits.h: EX_TEMPFAIL)."""

PUBLISHED, OUTBOUND = "published", "outbound"


def networks_of(platform: Platform) -> list[str]:
    """Every network of a platform on a Docker host, the ordinary ones included."""
    return sorted({*platform.networks, *filter(None, map(ordinary_network, platform.services))})


def ordinary_network(service: Service) -> str | None:
    """The network that is not internal and that a service joins, if any: one with a way out also
    publishes.
    """
    if service.reaches_out:
        return OUTBOUND
    return PUBLISHED if any(port.host is not None for port in service.ports) else None
