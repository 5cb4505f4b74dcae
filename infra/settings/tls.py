"""Settings of the stack's own certificates."""

from pydantic import Field

from infra.settings.common import Generation, Model
from infra.settings.text import CertificateName


class Tls(Model):
    """The authority that signs the certificates of services with `tls`."""

    generation: Generation = Field(
        1,
        description=(
            "Raise by one to replace the authority, and so every certificate; clients need the new"
            " one, too."
        ),
    )
    names: tuple[CertificateName, ...] = Field(
        (),
        description=(
            "Further host names and addresses in every certificate, by which clients elsewhere"
            " reach the services."
        ),
    )
