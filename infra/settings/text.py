"""Validated text: host names, addresses, URLs, names. A value that no client could use is an error.

Every validator raises ValueError with a readable message that never repeats the value: a misplaced
value is often a password.
"""

import ipaddress
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from croniter import croniter
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import AfterValidator, BeforeValidator

from infra.secret import Secret

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_EXTERNAL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+=-]{0,127}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
_BUCKET = re.compile(r"[a-z0-9]([a-z0-9]|[.-](?![.-])){1,61}[a-z0-9]")
_JOB = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_FORWARD = re.compile(r"[a-z][a-z0-9_]{0,30}")
_INSTANCE = re.compile(r"[a-z][a-z0-9]{3,11}")
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")
_FOLDER = re.compile(r"(/[A-Za-z0-9._-]+)+/?")
_PINNED = re.compile(r"[a-z0-9.:/_-]+:[A-Za-z0-9._-]+@sha256:[0-9a-f]{64}")
_CHANNEL = re.compile(r"[#@][^\W_][\w.-]{0,79}")
_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`|~-]{1,64}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,127}")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,4094}[\x21-\x7e])?")
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
_REPOSITORY = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*")
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
# MinIO keeps the first for itself; S3 gives the others a meaning (AWS, bucket naming rules).
_RESERVED_BUCKETS = ("minio",)
_RESERVED_PREFIXES, _RESERVED_SUFFIXES = ("xn--", "sthree-"), ("-s3alias", "--ol-s3")
_RESERVED_ANALYTICS = ("system", "information_schema")
_RESERVED_DATABASES = (
    "postgres",
    "template0",
    "template1",
    "litellm",
    "pgbouncer",
    "user",
    "all",
    "default",
    "table",
    "select",
)
# A word that LiteLLM replaces by a variable of its own environment, among them its salt key.
_INDIRECT = "os.environ/"


class Unusable(ValueError):
    """A value that cannot be used: why, and what to write instead."""

    def __init__(self, reason: str, fix: str) -> None:
        self.fix = fix
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Kind:
    """A type's name in the reference."""

    name: str


def _matching(pattern: re.Pattern[str], sentence: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if pattern.fullmatch(value) is None:
            raise ValueError(sentence)
        return value

    return check


def line(value: str) -> str:
    """One line of printable text. Raises ValueError for anything else."""
    if not value or len(value) > 255 or not value.isprintable():
        raise ValueError("it must be one line of 1 to 255 printable characters")
    return value


def host(value: str) -> str:
    """A host name or an IPv4 address that a container can connect to, in lower case."""
    name = value.lower()
    if ":" in name or "/" in name or "@" in name:
        raise ValueError(
            "it must be a bare host name or IPv4 address: no scheme, login, port or path"
        )
    labels = name.rstrip(".").split(".")
    if labels[-1].isdigit():
        _routable(name)
    elif len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("it is neither a host name nor an IPv4 address")
    if name.rstrip(".") == "localhost" or name.endswith(".localhost"):
        raise Unusable(
            "inside a container this is the container itself",
            "use host.docker.internal for services on this host",
        )
    return name


def certificate_name(value: str) -> str:
    """A host name or an IP address, as a certificate has it: in lower case, without a last dot."""
    name = value.lower().rstrip(".")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    labels = name.split(".")
    if (
        len(name) > 253
        or labels[-1].isdigit()
        or not all(_LABEL.fullmatch(label) for label in labels)
    ):
        raise ValueError("it is neither a host name nor an IP address")
    return name


def _routable(name: str) -> None:
    address = _ipv4(name)
    if address.is_loopback or address.is_unspecified:
        raise Unusable(
            "inside a container this is the container itself",
            "use host.docker.internal for services on this host",
        )
    if address.is_link_local:
        raise Unusable(
            "link-local addresses reach only a cloud's metadata service",
            "use the service's own address",
        )
    if address.is_multicast or address.is_reserved:
        raise ValueError("it is not the address of a host")


def _ipv4(value: str) -> ipaddress.IPv4Address:
    try:
        return ipaddress.IPv4Address(value)
    except ValueError:
        raise Unusable(
            "it is not an IPv4 address", "use one such as 127.0.0.1 or 192.0.2.10"
        ) from None


def bind_address(value: str) -> str:
    """An IPv4 address that a host can have, or 0.0.0.0 for all of them."""
    address = _ipv4(value)
    if address.is_multicast or (address.is_reserved and not address.is_unspecified):
        raise Unusable("no host has such an address", "use 127.0.0.1 or an address of this host")
    return value


def cidr(value: str) -> str:
    """A range of IPv4 addresses."""
    try:
        return str(ipaddress.IPv4Network(value))
    except ValueError:
        raise Unusable(
            "it is not a range of IPv4 addresses", "use one such as 10.96.0.10/32"
        ) from None


def port_number(text: str) -> int:
    """A port in decimal. Raises ValueError for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise ValueError("its port must be a whole number from 1 to 65535")
    return int(text)


def address(value: str) -> str:
    """`host:port`."""
    name, colon, port = value.rpartition(":")
    if not colon:
        raise ValueError("it must be host:port, such as shop.example.org:3000")
    if "//" in value:
        raise ValueError("it must be host:port, without a scheme")
    port_number(port)
    return f"{host(name)}:{port}"


def http_url(value: str) -> str:
    """A base URL over HTTP, without a login, query or fragment."""
    url = _split(value)
    if "@" in url.netloc:
        raise ValueError(
            "it contains a login, which would be stored in plain text in a tracked file"
        )
    if url.query or url.fragment or "?" in value or "#" in value:
        raise ValueError("it must be a base URL, without a query or fragment")
    return value


def _split(value: str) -> SplitResult:
    if not _TOKEN.fullmatch(value) or '"' in value or "\\" in value:
        raise ValueError(
            "it must be a URL of printable ASCII characters, without spaces, quotes or backslashes"
        )
    try:
        url = urlsplit(value)
        name, port = url.hostname, url.port
    except ValueError:
        raise ValueError("it is not a valid URL: its host or port cannot be read") from None
    if url.scheme not in ("http", "https"):
        raise ValueError("it must be a URL that begins with https:// or http://")
    if not name or port == 0 or url.netloc.endswith(":"):
        raise ValueError("it is a URL with no host or an empty port")
    host(name)
    return url


def path(value: str) -> str:
    """The path of a URL."""
    if "?" in value or "#" in value:
        raise ValueError("it must be only a path: a scrape sends no query or fragment")
    return _matching(
        _PATH, "it must begin with / and contain only characters allowed in a URL path"
    )(value)


def database(value: str) -> str:
    """The name of a Postgres database that Groundwork may create."""
    if value in _RESERVED_DATABASES or value.startswith("pg_"):
        raise Unusable(
            "this name is used by Postgres or by LiteLLM itself", "choose another, such as app"
        )
    return _identifier(value)


def analytics_database(value: str) -> str:
    """The name of a ClickHouse database that Groundwork may create."""
    if value in _RESERVED_ANALYTICS:
        raise Unusable("this is ClickHouse's own database", "choose another, such as analytics")
    return _identifier(value)


_identifier = _matching(
    _IDENTIFIER,
    "it must be 1 to 63 lower-case letters, digits and underscores, and not begin with a digit",
)


def bucket(value: str) -> str:
    """The name of an S3 bucket that MinIO accepts."""
    _matching(
        _BUCKET,
        "it must be 3 to 63 lower-case letters, digits, single dots and hyphens, and begin and end"
        " with a letter or digit",
    )(value)
    if (
        value in _RESERVED_BUCKETS
        or value.startswith(_RESERVED_PREFIXES)
        or value.endswith(_RESERVED_SUFFIXES)
    ):
        raise Unusable("this name is reserved by S3 or MinIO", "choose another")
    if re.fullmatch(r"[\d.]+", value) and value.count(".") == 3:
        raise ValueError("S3 does not allow bucket names that look like an IPv4 address")
    return value


def forward_name(value: str) -> str:
    """A name in the collector's configuration, where three words are reserved."""
    if value in ("null", "true", "false"):
        raise Unusable(
            "this is a reserved word in the collector's configuration",
            "choose another name",
        )
    return _matching(
        _FORWARD,
        "it must be 1 to 31 lower-case letters, digits and underscores, and begin with a letter",
    )(value)


def dns_name(value: str) -> str:
    """A DNS name in lower case, as Kubernetes requires."""
    labels = value.split(".")
    if len(value) > 253 or not all(_DNS_LABEL.fullmatch(label) for label in labels):
        raise ValueError(
            "it must be a DNS name: lower-case letters, digits, hyphens, and single dots between"
            " them"
        )
    return value


def host_name(value: str) -> str:
    """The host of an ingress: a DNS name, not an address."""
    dns_name(value)
    if value.rpartition(".")[2].isdigit():
        raise Unusable("an ingress host must be a name, not an address", "use a DNS name")
    return value


def namespace(value: str) -> str:
    """A Kubernetes name to which five more characters can be added."""
    if len(value) > 58 or not _DNS_LABEL.fullmatch(value):
        raise ValueError(
            "it must be 1 to 58 lower-case letters, digits and hyphens, and begin and end with a"
            " letter or digit"
        )
    return value


def label_key(value: str) -> str:
    """The key of a Kubernetes label: a name, optionally after a DNS name and a slash."""
    prefix, slash, name = value.rpartition("/")
    if slash:
        dns_name(prefix)
    if not _LABEL_NAME.fullmatch(name):
        raise ValueError(
            "it must be the key of a label, such as example.org/pool: at most 63 letters, digits,"
            " dots, hyphens and underscores"
        )
    return value


def label_value(value: str) -> str:
    """The value of a Kubernetes label; it may be empty."""
    if value and not _LABEL_NAME.fullmatch(value):
        raise ValueError(
            "it must be the value of a label: at most 63 letters, digits, dots, hyphens and"
            " underscores"
        )
    return value


def cron(value: str) -> str:
    """A cron expression of five fields, as croniter reads it."""
    if len(value.split()) != 5 or not croniter.is_valid(value):
        raise Unusable(
            "it is not a cron expression of five fields: minute, hour, day of the month, month,"
            " day of the week",
            'use one such as "15 3 * * *", every day at 03:15 UTC',
        )
    return value


def host_folder(value: str) -> str:
    """An absolute path of a folder on the host."""
    if not _FOLDER.fullmatch(value) or ".." in value.split("/"):
        raise Unusable(
            "it is not an absolute path of letters, digits and . _ - / below /",
            "use one such as /var/backups/groundwork",
        )
    return value.rstrip("/")


def annotation(value: str) -> str:
    """The value of a Kubernetes annotation."""
    if len(value) > 4096 or not all(
        character.isprintable() or character in "\n\t" for character in value
    ):
        raise ValueError("it must be at most 4096 printable characters")
    return value


def mailbox(value: str) -> str:
    """An e-mail address."""
    name, _, domain = value.rpartition("@")
    if not _MAILBOX.fullmatch(name) or name.startswith(".") or name.endswith(".") or ".." in name:
        raise ValueError("it must be one e-mail address, such as alerts@example.org")
    host(domain)
    return value


def image_source(value: str) -> str:
    """`registry`, `packages`, or a mirror's prefix: `host[:port][/path]`."""
    if value in ("registry", "packages"):
        return value
    place, _, rest = value.partition("/")
    name, colon, port = place.partition(":")
    if colon:
        port_number(port)
    if not _DNS_LABEL.fullmatch(name.partition(".")[0]) or not (
        {".", ":"} & set(place) or name == "localhost"
    ):
        raise Unusable(
            "it is neither `registry` nor `packages`, and it does not begin with a registry's host",
            "use `registry`, `packages`, or a mirror with its host, such as"
            " mirror.example.org/groundwork",
        )
    dns_name(name)
    if "/" in value and not all(_REPOSITORY.fullmatch(part) for part in rest.split("/")):
        raise ValueError(
            "a mirror's path must be lower-case names separated by single slashes, without a tag"
        )
    return value


def pinned_image(value: str) -> str:
    """An image by its digest: `repository:tag@sha256:…`."""
    if not _PINNED.fullmatch(value):
        raise Unusable(
            "an image without a digest may change", "use repository:tag@sha256: and 64 digits"
        )
    return value


def _secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str) or not value:
        raise Unusable(
            "a secret must be non-empty text", "set it with `pulumi config set --secret`"
        )
    return Secret(value)


def secret_line(value: object) -> Secret:
    """A secret that fits on one line, wherever it is written."""
    secret = _secret(value)
    if len(secret.reveal()) > 4096 or not secret.reveal().isprintable():
        raise Unusable(
            "it must be one line of at most 4096 printable characters",
            "set it again; was a newline copied with it?",
        )
    return secret


def api_key(value: object) -> Secret:
    """A key that goes into an HTTP header."""
    secret = _secret(value)
    if secret.reveal().startswith(_INDIRECT):
        raise Unusable(
            "LiteLLM would replace it with a variable from its own environment",
            "set the key itself",
        )
    _matching(_TOKEN, "it must be printable ASCII characters without spaces or newlines")(
        secret.reveal()
    )
    return secret


def header_value(value: object) -> Secret:
    """The secret value of an HTTP header."""
    secret = _secret(value)
    _matching(_HEADER_VALUE, "it must be one line of printable ASCII characters")(secret.reveal())
    return secret


def secret_url(value: object) -> Secret:
    """A URL that is secret because it holds a key."""
    secret = _secret(value)
    _split(secret.reveal())
    return secret


def certificates(value: str) -> str:
    """One or more certificates in PEM."""
    try:
        found = x509.load_pem_x509_certificates(value.encode())
    except ValueError:
        found = []
    if not found:
        raise ValueError("it must be a PEM certificate, starting with -----BEGIN CERTIFICATE-----")
    return "".join(item.public_bytes(Encoding.PEM).decode() for item in found)


def pull_login(value: object) -> Secret:
    """The contents of a Docker `config.json`."""
    secret = _secret(value)
    try:
        logins = json.loads(secret.reveal())
    except (ValueError, RecursionError):
        logins = None
    if not isinstance(logins, dict) or not isinstance(logins.get("auths"), dict):
        raise Unusable(
            "it is not the contents of a Docker config.json",
            'use {"auths": {"registry.example.org": {...}}}',
        )
    return secret


_label_name = _matching(
    _JOB,
    "it must be 1 to 63 lower-case letters, digits and hyphens, and begin with a letter or digit",
)

Line = Annotated[str, AfterValidator(line), Kind("text")]
CertificateName = Annotated[str, AfterValidator(certificate_name), Kind("host or address")]
HostName = Annotated[str, AfterValidator(host), Kind("host")]
BindAddress = Annotated[str, AfterValidator(bind_address), Kind("IPv4 address")]
Cidr = Annotated[str, AfterValidator(cidr), Kind("IPv4 range")]
Address = Annotated[str, AfterValidator(address), Kind("host:port")]
Url = Annotated[str, AfterValidator(http_url), Kind("URL")]
UrlPath = Annotated[str, AfterValidator(path), Kind("path")]
Database = Annotated[str, AfterValidator(database), Kind("name")]
AnalyticsDatabase = Annotated[str, AfterValidator(analytics_database), Kind("name")]
ExternalName = Annotated[
    str,
    AfterValidator(
        _matching(
            _EXTERNAL_NAME, "it must be 1 to 63 letters, digits, underscores, dots and hyphens"
        )
    ),
    Kind("name"),
]
User = Annotated[
    str,
    AfterValidator(
        _matching(_USER, "it must be a user name: letters, digits and . _ @ + = - without spaces")
    ),
    Kind("user"),
]
BucketName = Annotated[str, AfterValidator(bucket), Kind("bucket")]
ModelName = Annotated[
    str,
    AfterValidator(
        _matching(
            _MODEL,
            "it must be 1 to 128 letters, digits and . _ : / @ + - and begin with a letter or"
            " digit",
        )
    ),
    Kind("model"),
]
JobName = Annotated[
    str,
    AfterValidator(_label_name),
    Kind("name"),
]
ForwardName = Annotated[str, AfterValidator(forward_name), Kind("name")]
InstanceId = Annotated[
    str,
    AfterValidator(
        _matching(
            _INSTANCE, "it must be 4 to 12 lower-case letters and digits, and begin with a letter"
        )
    ),
    Kind("name"),
]
EnvironmentName = Annotated[
    str,
    AfterValidator(_label_name),
    Kind("label value"),
]
Channel = Annotated[
    str,
    AfterValidator(
        _matching(
            _CHANNEL,
            "it must be # or @ and a name of letters, digits, dots, hyphens and underscores",
        )
    ),
    Kind("channel"),
]
Mailbox = Annotated[str, AfterValidator(mailbox), Kind("e-mail address")]
HeaderName = Annotated[
    str,
    AfterValidator(
        _matching(_HEADER, "it must be the name of an HTTP header: letters, digits and hyphens")
    ),
    Kind("header"),
]
DnsName = Annotated[str, AfterValidator(dns_name), Kind("DNS name")]
IngressHost = Annotated[str, AfterValidator(host_name), Kind("DNS name")]
Name = Annotated[str, AfterValidator(namespace), Kind("name")]
LabelKey = Annotated[str, AfterValidator(label_key), Kind("label key")]
LabelValue = Annotated[str, AfterValidator(label_value), Kind("label value")]
Annotation = Annotated[str, AfterValidator(annotation), Kind("text")]
Cron = Annotated[str, AfterValidator(cron), Kind("cron")]
HostFolder = Annotated[str, AfterValidator(host_folder), Kind("folder")]
PinnedImage = Annotated[str, AfterValidator(pinned_image), Kind("image")]
Certificates = Annotated[str, AfterValidator(certificates), Kind("PEM")]
ImageSource = Annotated[str, AfterValidator(image_source), Kind("image source")]

SecretValue = Annotated[Secret, BeforeValidator(secret_line)]
ApiKey = Annotated[Secret, BeforeValidator(api_key)]
HeaderValue = Annotated[Secret, BeforeValidator(header_value)]
SecretUrl = Annotated[Secret, BeforeValidator(secret_url)]
PullLogin = Annotated[Secret, BeforeValidator(pull_login)]
