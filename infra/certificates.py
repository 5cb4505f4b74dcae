"""Certificates inside a stack. Like every other secret they follow from the master secret and are
stored nowhere: signatures are deterministic (RFC 6979), so the same stack has the same bytes at
every deploy and on every machine.
"""

import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.secret import Keyring, Secret

_CURVE = ec.SECP256R1()
# Of P-256 (SEC 2, 2.4.2).
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# A date that depends on today would be a change at every deploy, and one that ends soon an outage
# that nobody expects. What ends a certificate is its generation.
_FROM, _UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2056, 1, 1, tzinfo=UTC)
_AUTHORITY = "authority"


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key, both PEM."""

    certificate: str
    key: Secret


@dataclass(frozen=True, slots=True)
class Authority:
    """The authority of one stack, whose instance it is named after."""

    keyring: Keyring
    instance: str
    generation: int = 1

    @property
    def certificate(self) -> str:
        """What clients trust, PEM."""
        key = self._key(_AUTHORITY, self.generation)
        builder = _builder(self._name, self._name, key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        return _pem(builder.add_extension(_usage(signs=True), critical=True), key)

    def issue(self, service: str, names: Iterable[str], generation: int) -> Issued:
        """A server's certificate for host names and addresses."""
        key, signer = self._key(service, generation), self._key(_AUTHORITY, self.generation)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, service)])
        known = list(names)
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in known])
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = (
            _builder(subject, self._name, key.public_key(), " ".join(known))
            .add_extension(alternatives, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(authority, critical=False)
        )
        return Issued(_pem(builder, signer), _private(key))

    @property
    def _name(self) -> x509.Name:
        text = f"Groundwork {self.instance} {self.generation}"
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def _key(self, service: str, generation: int) -> ec.EllipticCurvePrivateKey:
        number = self.keyring.number(service, "tls", generation, below=_ORDER)
        return ec.derive_private_key(number, _CURVE)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, content: str = ""
) -> x509.CertificateBuilder:
    identifier = x509.SubjectKeyIdentifier.from_public_key(key)
    # No two certificates of an authority may have one number (RFC 5280, 4.1.2.2).
    told = hashlib.sha256(identifier.digest + content.encode()).digest()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(int.from_bytes(told[:19], "big") | 1)
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(identifier, critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    """What a key is for: an authority's to sign, a server's to prove who it is."""
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(builder: x509.CertificateBuilder, signer: ec.EllipticCurvePrivateKey) -> str:
    signed = builder.sign(signer, hashes.SHA256(), ecdsa_deterministic=True)
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def _private(key: ec.EllipticCurvePrivateKey) -> Secret:
    return Secret(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
    )
