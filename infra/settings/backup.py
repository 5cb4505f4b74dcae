"""Settings of backups."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from infra.settings.common import Because, Cores, Disk, Flag, Memory, Model, Sized
from infra.settings.text import Cron, HostFolder, PinnedImage, SecretValue, Url, User
from infra.units import GIB, MIB

Count = Annotated[
    int,
    Field(strict=True, ge=0, le=10_000),
    Because("it counts backups, and the list of more than ten thousand is never read"),
]


class Keep(Model):
    """How many backups are kept: of each period the last one. A backup that any of them names
    stays.
    """

    last: Count = Field(3, description="The newest, whenever they were made.")
    hourly: Count = Field(0, description="One of each of this many hours.")
    daily: Count = Field(7, description="One of each of this many days.")
    weekly: Count = Field(5, description="One of each of this many weeks.")
    monthly: Count = Field(12, description="One of each of this many months.")
    yearly: Count = Field(0, description="One of each of this many years.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not any(self.model_dump().values()):
            raise ValueError("at least one of them must be 1 or more: this would keep no backup")
        return self


class Repository(Model):
    """Where backups are kept: a folder of the host, or a bucket of any S3 server."""

    path: HostFolder | None = Field(
        None,
        description=(
            "Folder on the Docker host, such as a mounted disk; uid 65532 must be able to write to"
            " it."
        ),
    )
    s3: Url | None = Field(
        None,
        description=(
            "Server, bucket and prefix, such as `https://s3.eu-central-1.amazonaws.com/backups/dev`."
        ),
    )
    access_key: User | None = Field(None, description="Access key of the S3 server.")
    secret_key: SecretValue | None = Field(
        None, description="Secret key of the S3 server; set it with `--secret`."
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.path is None) == (self.s3 is None):
            raise ValueError("exactly one of path and s3 must be set")
        if self.s3 is not None and (self.access_key is None or self.secret_key is None):
            raise ValueError("s3 needs accessKey and secretKey")
        return self


class Backup(Sized):
    """Backup of every store."""

    enabled: Flag = Field(True, description="Whether backups are made.")
    memory: Memory = Field(
        384 * MIB, ge=256 * MIB, description="Memory limit; a larger repository needs more."
    )
    cpus: Cores = Field(
        0.5, description="CPU limit, in cores; the lower it is, the less the stores notice."
    )
    disk: Disk = Field(
        10 * GIB,
        description="Disk space for a cache, and for the repository unless it is elsewhere.",
    )
    schedule: Cron | None = Field(
        "15 3 * * *", description="When backups are made (cron, UTC); `null` for only by hand."
    )
    check_schedule: Cron | None = Field(
        "45 4 * * 0", description="When the repositories are checked (cron, UTC); `null` for never."
    )
    keep: Keep = Field(default_factory=Keep, description="How many backups are kept.")
    repository: Repository | None = Field(
        None,
        description=(
            "Where backups are kept; a volume of the stack, lost with the host, if not set."
        ),
    )
    second: Repository | None = Field(
        None, description="Another repository, which receives a copy of each backup."
    )
    read_only: Flag = Field(
        False,
        description=(
            "Never write to the repositories: for a stack that restores what another one saved."
        ),
    )
    image: PinnedImage | None = Field(
        None,
        description=(
            "Image to run, by its digest. On Kubernetes it must be set unless images are from"
            " packages: no public image has all that is needed, so build `images/backup` and push"
            " it to your registry."
        ),
    )
