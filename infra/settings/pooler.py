"""Settings of the connection pooler."""

from typing import Annotated, Literal

from pydantic import Field

from infra.settings.common import Because, Cores, Flag, HostPort, Memory, Sized
from infra.settings.text import PinnedImage
from infra.units import MIB


class Pooler(Sized):
    """Connections to Postgres, shared by many clients."""

    enabled: Flag = Field(False, description="Whether it is deployed.")
    memory: Memory = Field(64 * MIB, ge=32 * MIB, description="Memory limit.")
    cpus: Cores = Field(0.5, description="CPU limit, in cores; it uses at most one.")
    port: HostPort = Field(6432, description="Port on the host.")
    mode: Literal["transaction", "session"] = Field(
        "transaction",
        description="How long a client keeps a connection; `session` for those that need state.",
    )
    pool_size: Annotated[
        int, Field(strict=True, ge=1, le=1000), Because("each is a connection of Postgres")
    ] = Field(20, description="Connections to Postgres for each database and role.")
    max_clients: Annotated[
        int, Field(strict=True, ge=1, le=100_000), Because("each holds a descriptor and memory")
    ] = Field(1000, description="Maximum number of clients.")
    image: PinnedImage | None = Field(
        None,
        description=(
            "Image to run, by its digest. On Kubernetes it must be set unless images are from"
            " packages: build `images/pooler` and push it to your registry."
        ),
    )
