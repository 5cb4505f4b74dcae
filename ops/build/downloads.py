"""Official archives, unpacked only if their checksums match."""

import hashlib
import shutil
import tarfile
import tempfile
from pathlib import Path

import httpx

from ops import console
from ops.paths import cache

# Long enough for a slow name server, short enough not to be a wait on a machine without the
# internet.
_REACH_SECONDS = 3.0


def fetch(url: str, sums: str, folder: Path, what: str) -> bool:
    """Unpacks an official download into a folder; False if it is unreachable.

    Nothing is unpacked before its SHA-256 matches the one published at `sums`; False if that is
    unreachable. Raises Failed if they differ.
    """
    timeout = httpx.Timeout(60, connect=_REACH_SECONDS)
    digest = hashlib.sha256()
    try:
        with tempfile.TemporaryDirectory(dir=cache()) as scratch:
            archive = Path(scratch) / "archive.tar.gz"
            with (
                httpx.stream("GET", url, timeout=timeout, follow_redirects=True) as response,
                archive.open("wb") as stream,
            ):
                response.raise_for_status()
                with console.step(f"downloading {what}"):
                    for chunk in response.iter_bytes():
                        stream.write(chunk)
                        digest.update(chunk)
            if not _verified(url, sums, digest.hexdigest(), what):
                return False
            unpacked = Path(scratch) / "unpacked"
            with tarfile.open(archive) as tar:
                extract(tar, unpacked)
            folder.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            unpacked.rename(folder)
    except (httpx.HTTPError, tarfile.TarError, OSError) as error:
        console.out.print(f"{what}: the official download is unreachable ({type(error).__name__})")
        return False
    return True


def _verified(url: str, sums: str, found: str, what: str) -> bool:
    """True if the published sums list the download with the sum found. Raises Failed for a
    different sum.
    """
    try:
        text = httpx.get(sums, timeout=60, follow_redirects=True).raise_for_status().text
    except httpx.HTTPError as error:
        console.out.print(
            f"{what}: not used, since its published checksum is unreachable"
            f" ({type(error).__name__})"
        )
        return False
    rows = (line.split() for line in text.splitlines())
    published = next(
        (
            row[0].lower()
            for row in rows
            if len(row) == 2 and row[1].lstrip("*") == url.rpartition("/")[2]
        ),
        None,
    )
    if published is None:
        console.out.print(f"{what}: not used, since no checksum of it is published at {sums}")
        return False
    if published != found:
        raise console.Failed(
            f"the download of {what} is not what was published: its SHA-256 is {found}, not"
            f" {published}",
            f"find out why, on a network that you trust; or put {what} on the PATH yourself",
        )
    return True


def extract(tar: tarfile.TarFile, folder: Path) -> None:
    """Unpacks without leaving the folder. Python before 3.11.4, such as Debian 12's, has no
    filters.
    """
    if hasattr(tarfile, "data_filter"):
        tar.extractall(folder, filter="data")
        return
    root = folder.resolve()
    for member in tar.getmembers():
        inside = (root / member.name).resolve().is_relative_to(root)
        if not inside or not (member.isreg() or member.isdir()):
            raise tarfile.TarError(f"{member.name} does not belong in the archive")
    tar.extractall(folder)  # noqa: S202 - every member was looked at
