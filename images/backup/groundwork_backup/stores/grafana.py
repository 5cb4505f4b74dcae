"""Grafana: the folders and dashboards that people have made, through its API.

What is provisioned comes with a deploy. Users, and the keys of service accounts, Grafana does not
hand out.
"""

import json
from collections.abc import Mapping, Sequence
from typing import IO, Any

import httpx

from groundwork_backup.config import Source
from groundwork_backup.failure import Failed
from groundwork_backup.stores.interface import Counts, Opener

_ITEM = "dashboards.json"
_PAGE = 1000


class Grafana:
    """A server, as its administrator."""

    def __init__(self, source: Source, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(
            base_url=f"{source.url}/api",
            auth=(source.username, source.password),
            timeout=60,
            transport=transport,
        )

    def version(self) -> str:
        """Such as `13.2.3`."""
        return str(self._ask("GET", "/health")["version"])

    def items(self) -> Sequence[str]:
        """One stream."""
        return [_ITEM]

    def dump(self, item: str, out: IO[bytes]) -> dict[str, Any]:
        """Folders, parents before children, and dashboards."""
        boards = self._boards()
        folders = [
            {"uid": folder["uid"], "title": folder["title"], "parentUid": parent}
            for folder, parent in self._folders("")
        ]
        out.write(json.dumps({"folders": folders, "boards": boards}, sort_keys=True).encode())
        return {"counts": {"dashboards": len(boards), "folders": len(folders)}}

    def holds(self) -> Counts:
        """Dashboards of people, if there are any."""
        found = self._boards()
        return {"dashboards": len(found)} if found else {}

    def restore(self, streams: Mapping[str, Opener], facts: Mapping[str, Any]) -> Counts:
        """Gives every dashboard its uid and folder again, then deletes what was not saved."""
        with streams[_ITEM]() as stream:
            saved = json.load(stream)
        places = self._folders_again(saved["folders"])
        for board in saved["boards"]:
            about = {**board["dashboard"], "id": None}
            folder = places.get(board["folder"], board["folder"])
            self._ask(
                "POST",
                "/dashboards/db",
                json={"dashboard": about, "folderUid": folder, "overwrite": True},
            )
        kept = {board["dashboard"]["uid"] for board in saved["boards"]}
        for board in self._boards():
            if (uid := board["dashboard"]["uid"]) not in kept:
                self._ask("DELETE", f"/dashboards/uid/{uid}")
        return {"dashboards": len(self._boards()), "folders": len(self._folders(""))}

    def _folders_again(self, saved: Sequence[Mapping[str, str]]) -> Mapping[str, str]:
        """Creates missing folders; maps saved uids to uids here. A provisioned folder has another
        uid in each stack, and Grafana refuses a second one with its title.
        """
        present = self._folders("")
        uids = {folder["uid"] for folder, _ in present}
        titles = {(parent, folder["title"]): folder["uid"] for folder, parent in present}
        places: dict[str, str] = {}
        for folder in saved:
            uid, parent = folder["uid"], places.get(folder["parentUid"], folder["parentUid"])
            here = uid if uid in uids else titles.get((parent, folder["title"]))
            if here is None:
                self._ask("POST", "/folders", json={**folder, "parentUid": parent})
            places[uid] = here or uid
        return places

    def _boards(self) -> list[dict[str, Any]]:
        """Those that no file provides."""
        listed = self._ask("GET", "/search", params={"type": "dash-db", "limit": _PAGE})
        found = [self._ask("GET", f"/dashboards/uid/{item['uid']}") for item in listed]
        return [
            {"folder": item["meta"].get("folderUid", ""), "dashboard": item["dashboard"]}
            for item in found
            if not item["meta"].get("provisioned")
        ]

    def _folders(self, parent: str) -> list[tuple[dict[str, Any], str]]:
        listed = self._ask("GET", "/folders", params={"parentUid": parent, "limit": _PAGE})
        found = []
        for folder in listed:
            found += [(folder, parent), *self._folders(folder["uid"])]
        return found

    def _ask(self, method: str, path: str, **request: Any) -> Any:
        response = self._http.request(method, path, **request)
        if response.is_error:
            raise Failed(
                f"{method} {path}: status {response.status_code}: {response.text[:300]}",
                "if Grafana's administrator was changed there, no backup can log in: raise"
                " groundwork:grafana.secretGeneration",
            )
        return response.json()
