"""The engine's checks of containers: how often it asks, and when a start has failed."""

import pulumi_docker as docker

from infra.spec import HealthCheck
from infra.units import go_duration

# Seconds between checks once a container is healthy. Each costs a tenth of a second of a core.
STEADY = 30
# A check that waits before it asks, once it has succeeded since the container's start: what starts
# fast is seen to be healthy after a second, and what runs costs few checks. /dev/shm is empty at
# each start, and may be written to whatever the root.
SEEN = "/dev/shm/groundwork-healthy"  # noqa: S108 - inside the container
PATIENT = f"""\
if [ -e {SEEN} ]; then
    sleep {STEADY}
    exec "$@"
fi
"$@" && : > {SEEN}
"""
# The API of the first engine that checks more often while a container starts (Docker 25).
_START_INTERVAL = (1, 44)


class Pace:
    """How an engine checks containers, by the newest API that it speaks."""

    def __init__(self, api: tuple[int, ...]) -> None:
        # True if it tells a starting container's checks from others.
        self._two = api >= _START_INTERVAL

    def deadline(self, check: HealthCheck) -> int:
        """Seconds until a start has failed: an engine that checks a starting container more often
        asks at its steady pace once the start period is over.
        """
        steady = check.start_period + check.retries * (STEADY + check.timeout)
        return max(check.deadline, steady) if self._two else check.deadline

    def check(
        self, check: HealthCheck, *, steady: int = STEADY, patient: bool = False
    ) -> docker.ContainerHealthcheckArgs:
        """The engine's check of a container: every second while it starts, and every `steady`
        seconds later. An engine that does not tell the two apart asks every second a check that is
        `patient`, and others at the service's interval.
        """
        patient = patient and not self._two
        starting = 1 if patient else check.interval
        command = ("sh", "-c", PATIENT, "sh", *check.command) if patient else check.command
        return docker.ContainerHealthcheckArgs(
            tests=["CMD", *command],
            interval=go_duration(steady if self._two else starting),
            timeout=go_duration(check.timeout + (STEADY if patient else 0)),
            retries=check.retries,
            start_period=go_duration(check.start_period),
            # Older engines forget it, which would be a difference at every `up`.
            start_interval=go_duration(1) if self._two else None,
        )
