"""Signed requests to an S3 server that the client library has no call for: those by which
replication keeps versions, and a bucket's documents as they are.
"""

import base64
import hashlib
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import httpx
from minio.credentials.credentials import Credentials
from minio.signer import sign_v4_s3

from groundwork_backup.config import Source
from groundwork_backup.failure import Failed

REGION = "us-east-1"
_UNSIGNED = "UNSIGNED-PAYLOAD"
_DOCUMENTS = ("versioning", "lifecycle", "policy", "tagging")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. `size` is the number of bytes in `content`."""

    method: str
    bucket: str
    key: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: Iterable[bytes] = ()
    size: int = 0

    @property
    def path(self) -> str:
        """Path and query of its URL."""
        parts = "&".join(
            f"{quote(name, safe='')}={quote(value, safe='')}"
            for name, value in sorted(self.query.items())
        )
        path = f"/{self.bucket}/{self.key}" if self.key else f"/{self.bucket}"
        return quote(path, safe="/~") + (f"?{parts}" if parts else "")


class S3:
    """A server, as one of its users."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._http = httpx.Client(
            timeout=httpx.Timeout(30, read=600, write=600), verify=source.trusted
        )

    def documents(self, bucket: str) -> dict[str, str]:
        """A bucket's versioning, lifecycle, policy and tags, as it has them."""
        found: dict[str, str] = {}
        for name in _DOCUMENTS:
            request = Request(method="GET", bucket=bucket, query={name: ""})
            response = self.call(request, allowed=(404,))
            # A bucket without versioning answers with an empty document, which cannot be given.
            if response.status_code == 200 and not _is_empty(response.text):
                found[name] = response.text
        return found

    def give(self, bucket: str, name: str, document: str) -> None:
        """Gives a bucket one of its documents."""
        body = document.encode()
        checksum = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        self.call(
            Request(
                method="PUT",
                bucket=bucket,
                query={name: ""},
                headers={"Content-MD5": checksum},
                content=[body],
                size=len(body),
            )
        )

    def call(self, request: Request, *, allowed: Sequence[int] = ()) -> httpx.Response:
        """Sends a request; its body is not signed, so that it need not be read twice. Raises Failed
        for an error whose status is not `allowed`.
        """
        url = urlsplit(f"{self._source.url}{request.path}")
        now = datetime.now(UTC)
        signed = sign_v4_s3(
            method=request.method,
            url=url,
            region=REGION,
            headers={
                **request.headers,
                "Host": url.netloc,
                "x-amz-content-sha256": _UNSIGNED,
                "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
            },
            credentials=Credentials(self._source.username, self._source.password),
            content_sha256=_UNSIGNED,
            date=now,
        )
        headers = {name: str(value) for name, value in signed.items()}
        response = self._http.request(
            request.method,
            url.geturl(),
            headers={**headers, "Content-Length": str(request.size)},
            content=iter(request.content) if request.size else b"",
        )
        if response.is_error and response.status_code not in allowed:
            told = " ".join(response.text.split())[:300]
            raise Failed(
                f"{request.method} {request.bucket}/{request.key}: status {response.status_code}:"
                f" {told}",
                "check the log of minio, and its disk",
            )
        return response


def _is_empty(document: str) -> bool:
    """True for an XML document without content."""
    if not document.lstrip().startswith("<"):
        return not document.strip()
    root = ET.fromstring(document)  # noqa: S314 - of our own server
    return len(root) == 0
