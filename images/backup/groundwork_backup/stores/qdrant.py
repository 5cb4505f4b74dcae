"""Qdrant: a snapshot of each collection, and the aliases."""

import json
from collections.abc import Mapping, Sequence
from typing import IO, Any

import httpx

from groundwork_backup.config import Source
from groundwork_backup.failure import Failed
from groundwork_backup.stores.interface import CHUNK, Counts, Opener

_ALIASES, _SUFFIX = "aliases.json", ".snapshot"


class Qdrant:
    """A server, with its full key."""

    def __init__(self, source: Source, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(
            base_url=source.url,
            headers={"api-key": source.password},
            verify=source.trusted,
            timeout=httpx.Timeout(30, read=3600, write=3600),
            transport=transport,
        )

    def version(self) -> str:
        """Such as `1.19.1`."""
        return str(self._ask("GET", "/")["version"])

    def items(self) -> Sequence[str]:
        """The aliases, and each collection. Raises Failed for several nodes: a snapshot is one
        node's.
        """
        peers = self._ask("GET", "/cluster")["result"].get("peers") or {}
        if len(peers) > 1:
            raise Failed(
                f"Qdrant runs on {len(peers)} nodes, and a snapshot has the shards of one",
                "back each node up with Qdrant's own tools, or set groundwork:qdrant.replicas to 1",
            )
        return [_ALIASES, *(f"{name}{_SUFFIX}" for name in self._collections())]

    def dump(self, item: str, out: IO[bytes]) -> dict[str, Any]:
        """The server writes a snapshot to its volume, which is removed once it has been read."""
        if item == _ALIASES:
            aliases = self._ask("GET", "/aliases")["result"]["aliases"]
            out.write(json.dumps(aliases, sort_keys=True).encode())
            return {"counts": {"aliases": len(aliases)}}
        name = item.removesuffix(_SUFFIX)
        points = self._points(name)
        place = f"/collections/{name}/snapshots"
        made = self._ask("POST", place, params={"wait": "true"})["result"]["name"]
        try:
            with self._http.stream("GET", f"{place}/{made}") as response:
                response.raise_for_status()
                for chunk in response.iter_bytes(CHUNK):
                    out.write(chunk)
        finally:
            self._http.delete(f"{place}/{made}", params={"wait": "true"})
        return {"counts": {name: points}}

    def holds(self) -> Counts:
        """Points in each collection that has any."""
        found = {name: self._points(name) for name in self._collections()}
        return {name: points for name, points in found.items() if points}

    def restore(self, streams: Mapping[str, Opener], facts: Mapping[str, Any]) -> Counts:
        """Each collection is replaced by its snapshot; collections that were not saved go last."""
        saved = [item.removesuffix(_SUFFIX) for item in streams if item != _ALIASES]
        for name in saved:
            with streams[f"{name}{_SUFFIX}"]() as stream:
                self._ask(
                    "POST",
                    f"/collections/{name}/snapshots/upload",
                    params={"priority": "snapshot", "wait": "true"},
                    files={"snapshot": (f"{name}{_SUFFIX}", _Unseekable(stream))},
                )
            points, wanted = self._points(name), facts[f"{name}{_SUFFIX}"]["counts"][name]
            # Points that were written while the snapshot was made may be in it.
            if points < wanted:
                raise Failed(
                    f"qdrant/{name}: restored {points} points, but {wanted} were saved",
                    "run `make backup-check`, then restore an earlier backup",
                )
        for name in set(self._collections()) - set(saved):
            self._ask("DELETE", f"/collections/{name}")
        with streams[_ALIASES]() as stream:
            actions = [{"create_alias": alias} for alias in json.load(stream)]
        if actions:
            self._ask("POST", "/collections/aliases", json={"actions": actions})
        return {name: self._points(name) for name in saved} | {"aliases": len(actions)}

    def _collections(self) -> list[str]:
        found = self._ask("GET", "/collections")["result"]["collections"]
        return sorted(str(item["name"]) for item in found)

    def _points(self, name: str) -> int:
        place = f"/collections/{name}/points/count"
        return int(self._ask("POST", place, json={"exact": True})["result"]["count"])

    def _ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        response = self._http.request(method, path, **request)
        if response.is_error:
            raise Failed(
                f"{method} {path}: status {response.status_code}: {response.text[:300]}",
                "check the log of qdrant, and its disk",
            )
        found: dict[str, Any] = response.json()
        return found


class _Unseekable:
    """A stream that is only read, so that its length is not asked for."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.read = stream.read
