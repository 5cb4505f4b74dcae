"""The configuration, as the stack's deploy writes it."""

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundwork_backup.failure import Failed

PATH = Path("/etc/groundwork/backup.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A store: its address and login, the file of the authority that signed its certificate (with
    none it is asked without TLS), and what its kind needs besides.
    """

    name: str
    kind: str
    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=dict)
    authority: str = ""

    @property
    def url(self) -> str:
        """`http://host:port`, with an s for TLS."""
        return f"http{'s' if self.authority else ''}://{self.host}:{self.port}"

    @property
    def trusted(self) -> ssl.SSLContext | bool:
        """What a client over HTTP verifies its server with."""
        return ssl.create_default_context(cafile=self.authority) if self.authority else True


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A restic repository. `environment` holds the credentials of where it is."""

    name: str
    url: str
    password: str = field(repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One stack's backup. Schedules are cron expressions in UTC; `keep` maps restic's periods
    (last, hourly, daily, weekly, monthly, yearly) to numbers of backups; the second of two
    repositories receives copies; to `read_only` ones nothing is ever written. `sync_certificate`
    are the files of the certificate and the key of this process at `sync_port`, where it speaks
    TLS.
    """

    stack: str
    folder: Path
    sources: tuple[Source, ...]
    repositories: tuple[Repository, ...]
    schedule: str | None = None
    check_schedule: str | None = None
    check_subset: str = "5%"
    keep: Mapping[str, int] = field(default_factory=dict)
    metrics_port: int = 9710
    sync_port: int = 6399
    sync_certificate: tuple[str, str] = ("", "")
    read_only: bool = False

    def source(self, name: str) -> Source:
        """The store of that name. Raises Failed if there is none."""
        for source in self.sources:
            if source.name == name:
                return source
        known = ", ".join(source.name for source in self.sources)
        raise Failed(f"this stack has no store `{name}`", f"name one of {known}")


def load(path: Path = PATH) -> Config:
    """Reads the configuration, and makes the folders that it names."""
    raw: dict[str, Any] = json.loads(path.read_text())
    for name in ("cache", "state", "tmp"):
        (Path(raw["folder"]) / name).mkdir(exist_ok=True)
    return Config(
        **{
            **raw,
            "folder": Path(raw["folder"]),
            "sources": tuple(Source(**item) for item in raw["sources"]),
            "sync_certificate": tuple(raw.get("sync_certificate", ("", ""))),
            "repositories": tuple(Repository(**item) for item in raw["repositories"]),
        }
    )
