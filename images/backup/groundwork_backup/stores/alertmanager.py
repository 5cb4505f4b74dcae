"""Alertmanager: the silences that people have set."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, Any

import httpx

from groundwork_backup.config import Source
from groundwork_backup.stores.interface import Counts, Opener

_ITEM = "silences.json"


class Alertmanager:
    """A server, as an administrator."""

    def __init__(self, source: Source) -> None:
        self._http = httpx.Client(
            base_url=f"{source.url}/api/v2", auth=(source.username, source.password), timeout=30
        )

    def version(self) -> str:
        """Such as `0.28.1`."""
        return str(self._get("/status")["versionInfo"]["version"])

    def items(self) -> Sequence[str]:
        """One stream."""
        return [_ITEM]

    def dump(self, item: str, out: IO[bytes]) -> dict[str, Any]:
        """Those that are active or will be."""
        found = self._silences()
        out.write(json.dumps(found, sort_keys=True, indent=1).encode())
        return {"counts": {"silences": len(found)}}

    def holds(self) -> Counts:
        """Number of silences, if there are any."""
        found = self._silences()
        return {"silences": len(found)} if found else {}

    def restore(self, streams: Mapping[str, Opener], facts: Mapping[str, Any]) -> Counts:
        """Sets those that are not there; they get new ids."""
        with streams[_ITEM]() as stream:
            saved = json.load(stream)
        present = [_meaning(item) for item in self._silences()]
        now = datetime.now(UTC)
        for item in saved:
            ended = datetime.fromisoformat(item["endsAt"]) <= now
            if not ended and _meaning(item) not in present:
                given = {**_meaning(item), "startsAt": item["startsAt"]}
                self._http.post("/silences", json=given).raise_for_status()
        return {"silences": len(self._silences())}

    def _silences(self) -> list[dict[str, Any]]:
        found = self._get("/silences")
        kept = [item for item in found if item["status"]["state"] != "expired"]
        return sorted(kept, key=lambda item: str(item["id"]))

    def _get(self, path: str) -> Any:
        response = self._http.get(path)
        response.raise_for_status()
        return response.json()


def _meaning(silence: Mapping[str, Any]) -> dict[str, Any]:
    """A silence without its id, its state, and its start, which a server moves to now."""
    fields = ("matchers", "endsAt", "createdBy", "comment")
    return {name: silence[name] for name in fields}
