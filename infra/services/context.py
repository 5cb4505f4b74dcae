"""The context that services are built from: settings, keys and images."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from infra import images
from infra.certificates import Authority, Issued
from infra.consent import Consent
from infra.secret import Keyring, Secret
from infra.settings import Settings
from infra.settings.common import Encryptable, External, Rotatable, Sized
from infra.spec import CONFIG_DIR, Endpoint, File, Image, Limits, Runtime
from infra.targets.docker import runtime as docker
from infra.targets.kubernetes import runtime as kubernetes
from infra.versions import NO_PACKAGE

OBSERVABILITY_NETWORK = "observability"

CERTIFICATE, CERTIFICATE_KEY, AUTHORITY = (
    f"{CONFIG_DIR}/{name}" for name in ("tls.crt", "tls.key", "ca.pem")
)
"""Where a service has its own certificate, its key, and the authority that it trusts."""

TLS_FILES = {"authority": AUTHORITY, "certificate": CERTIFICATE, "key": CERTIFICATE_KEY}
"""The same, as templates name them."""

OWN = "app"
"""The stack's own application, which every stack has."""


@dataclass(frozen=True, slots=True)
class Context:
    """One stack's settings and keyring, and what is allowed this time; every service is a pure
    function of these. `application` is the one whose environment is asked for.
    """

    settings: Settings
    keyring: Keyring
    consent: Consent = field(default_factory=Consent)
    application: str = OWN

    def secret(
        self, service: str, purpose: str, *, length: int = 32, of: Rotatable | None = None
    ) -> Secret:
        """A password that changes with the `secretGeneration` of the service's settings, or of the
        settings given.
        """
        settings: Rotatable = of or getattr(self.settings, service)
        return self.keyring.derive(service, purpose, settings.secret_generation, length=length)

    @property
    def authority(self) -> Authority:
        """The authority of the stack's certificates."""
        return Authority(self.keyring, self.settings.instance, self.settings.tls.generation)

    def secured(self, at: Endpoint, settings: Encryptable) -> Endpoint:
        """The endpoint of one of our services, asked by TLS if its settings require that."""
        if not settings.tls:
            return at
        return replace(at, tls=True, authority=self.authority.certificate)

    def certificate(self, service: str, of: Rotatable) -> Issued:
        """The certificate of one of our services, for every name by which clients know it."""
        names = dict.fromkeys(_names(self.settings, service))
        return self.authority.issue(service, names, of.secret_generation)

    def image(self, name: str, service: str | None = None) -> Image:
        """The image `name` for a service, which has its name if none is given. Raises KeyError if
        packages provide none; check `available` first.
        """
        found = images.image(self.settings, name)
        if found is None:
            raise KeyError(name)
        kept = self.consent.previous.get(service or name)
        return replace(found, reference=kept["image"], version=kept["version"]) if kept else found

    def extended(self, name: str, named: str | None) -> Image | None:
        """An image that no registry has: the user's own, if named, or one built on the host from an
        official one. None in a cluster, where nothing is built.
        """
        if named is not None:
            return Image(reference=named, version=self.image(name).version)
        if self.settings.clustered and self.settings.images != "packages":
            return None
        return self.image(name)

    def available(self, name: str) -> bool:
        """True if the stack's image source has this service."""
        return images.image(self.settings, name) is not None

    def why_unavailable(self, name: str) -> str:
        """The reason why a service has no image from packages."""
        return NO_PACKAGE[name]

    @property
    def runtime(self) -> Runtime:
        """The target's runtime facts."""
        return kubernetes.runtime(self.settings) if self.settings.clustered else docker.RUNTIME

    def address(self, name: str) -> str:
        """The host name of one of our services, from any of the stack's namespaces."""
        return f"{name}.{self.runtime.domain}" if self.runtime.domain else name

    def deploys(self, name: str) -> bool:
        """True if a monitoring service is enabled and its image is available."""
        return bool(getattr(self.settings, name).enabled) and self.available(name)

    def host_port(self, port: int) -> int:
        """A configured port, shifted by the stack's `portOffset`."""
        return port + self.settings.port_offset


def _names(settings: Settings, service: str) -> Iterator[str]:
    yield from (service, "localhost", "127.0.0.1", "::1")
    if not ip_address(settings.bind_address).is_unspecified:
        yield settings.bind_address
    if settings.clustered:
        inside = f"{service}.{settings.namespace}"
        yield from (inside, f"{inside}.svc", f"{inside}.svc.cluster.local")
    yield from settings.tls.names


def trust(at: Endpoint) -> Iterator[File]:
    """The file with the authority that signed a server's certificate, unless it is one of the
    system's.
    """
    if at.authority:
        yield File(path=AUTHORITY, content=at.authority)


def identity(
    context: Context, service: str, of: Rotatable, *, tls: bool, live: bool = False
) -> Iterator[File]:
    """The files of a service's own certificate, if it requires TLS; `live` ones are read again as
    its others are.
    """
    if tls:
        issued = context.certificate(service, of)
        yield File(path=CERTIFICATE, content=issued.certificate, live=live)
        yield File(path=CERTIFICATE_KEY, content=issued.key, live=live)


def limits(settings: Sized) -> Limits:
    """The limits that settings name."""
    return Limits(
        memory=settings.memory,
        cpus=settings.cpus,
        default_cpus="cpus" not in settings.model_fields_set,
    )


def external_endpoint(external: External) -> Endpoint:
    """An external endpoint; it is on none of our networks."""
    return Endpoint(
        host=external.host,
        port=external.port,
        network=None,
        tls=external.tls,
        username=external.username,
        password=external.password,
        database=external.database,
        authority=external.ca_certificate,
    )
