"""What a job's container runs: its script until that succeeds, then its upkeep."""

from infra.spec import CONFIG_DIR, UPKEEP_SECONDS, HealthCheck, Job
from infra.targets.docker.naming import JOB_GAVE_UP

STEADY = 300
"""Seconds between checks of a job that has succeeded."""

SCRIPT = f"{CONFIG_DIR}/job.sh"
UPKEEP = f"{CONFIG_DIR}/upkeep.sh"
_SEEN = "/tmp/seen"  # noqa: S108 - inside the job's own container
_ATTEMPTS = 3
MARKER = "/tmp/provisioned"  # noqa: S108 - inside the job's own container
# A container that ends would be seen as drift, and the provider takes a failed one for a success.
# So a job stays alive, and what says that it succeeded is a marker that its health check looks for.
# One that gives up is started again by the engine, unless a command that sees it ends the wait.
RUNNER = f"""\
rm -f {MARKER} {_SEEN}
failures=0
until sh -eu {SCRIPT}; do
    failures=$((failures + 1))
    if [ "$failures" -ge {_ATTEMPTS} ]; then exit {JOB_GAVE_UP}; fi
    echo "provisioning failed; trying again in 5 s" >&2
    sleep 5
done
touch {MARKER}
while [ -e {UPKEEP} ] && sleep {UPKEEP_SECONDS}; do
    sh -eu {UPKEEP} || echo "upkeep failed; trying again in {UPKEEP_SECONDS} s" >&2
done
exec sleep infinity
"""
# A job that has succeeded stays so: after the first answer its check takes its time. The first one
# waits for the job, which is seen to have ended as soon as it has.
CHECK = f"""\
left=50
until [ -e {MARKER} ]; do
    left=$((left - 1))
    [ $left -gt 0 ] || exit 1
    sleep 0.2
done
if [ -e {_SEEN} ]; then sleep {STEADY}; else touch {_SEEN}; fi
"""


def readiness(job: Job) -> HealthCheck:
    """The check that waits for the job, and from then on takes its time."""
    return HealthCheck(
        command=("sh", "-c", CHECK), interval=1, timeout=2 * STEADY, start_period=job.timeout
    )
