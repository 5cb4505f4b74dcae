"""Comments on pull requests and issues of drift, on GitHub and GitLab, by their own APIs.

Which one, and where, follows from the variables that their CI sets; the token is the job's own.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx

from ops import console
from ops.review.markdown import MARKER

_SECONDS = 30.0
# Pages of a hundred; a pull request with more comments gets a new one.
_PAGES = 20


class Forge(Protocol):
    """Where a project's pull requests and issues are."""

    def comment(self, text: str) -> None:
        """Puts a comment with our marker on the pull request, in place of an earlier one."""

    def issue(self, title: str, text: str | None) -> str:
        """Opens or updates the open issue of that title, or closes it without a text; what it did
        in a word.
        """


def comment(text: str) -> None:
    """Publishes a review. Raises Failed outside of CI, and where the token may not write."""
    if MARKER not in text:
        raise console.Failed("the file holds no review", "make it with `review --markdown`")
    forge().comment(text)


def forge() -> Forge:
    """The forge whose CI runs this. Raises Failed outside of one."""
    if os.environ.get("GITHUB_ACTIONS"):
        return GitHub(os.environ)
    if os.environ.get("GITLAB_CI"):
        return GitLab(os.environ)
    raise console.Failed(
        "this runs neither in GitHub Actions nor in GitLab CI, so there is nowhere to publish",
        "`make review` prints the same text",
    )


@dataclass(frozen=True, slots=True)
class GitHub:
    """GitHub's REST API (docs.github.com/en/rest)."""

    variables: Mapping[str, str]

    def comment(self, text: str) -> None:
        """On the pull request of the event; into the job's summary where the token may only read,
        as for a pull request from a fork.
        """
        number = self._pull_request()
        path = f"/issues/{number}/comments"
        try:
            found = next(
                (item for item in self._pages(path) if MARKER in (item.get("body") or "")), None
            )
            if found is None:
                self._call("POST", path, {"body": text})
            else:
                self._call("PATCH", f"/issues/comments/{found['id']}", {"body": text})
        except console.Failed:
            summary = self.variables.get("GITHUB_STEP_SUMMARY")
            if not summary:
                raise
            with Path(summary).open("a") as stream:
                stream.write(text)
            console.out.print("review: the token may not comment; it is in the job's summary")

    def issue(self, title: str, text: str | None) -> str:
        """One open issue of a title at a time."""
        listed = self._pages("/issues?state=open&labels=drift")
        found = next((item for item in listed if item["title"] == title), None)
        done = _decided(found, text, "body")
        match done:
            case "opened":
                self._call("POST", "/issues", {"title": title, "body": text, "labels": ["drift"]})
            case "updated" | "closed":
                change = {"body": text} if done == "updated" else {"state": "closed"}
                self._call("PATCH", f"/issues/{(found or {})['number']}", change)
        return done

    def _pull_request(self) -> int:
        try:
            event = json.loads(Path(self.variables["GITHUB_EVENT_PATH"]).read_text())
            return int(event["pull_request"]["number"])
        except (KeyError, OSError, ValueError):
            raise console.Failed(
                "this run belongs to no pull request", "run it on the event `pull_request`"
            ) from None

    def _pages(self, path: str) -> Sequence[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        joint = "&" if "?" in path else "?"
        for page in range(1, _PAGES + 1):
            part = self._call("GET", f"{path}{joint}per_page=100&page={page}")
            found += part
            if len(part) < 100:
                break
        return found

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        base = self.variables.get("GITHUB_API_URL", "https://api.github.com")
        return _request(
            method,
            f"{base}/repos/{self.variables['GITHUB_REPOSITORY']}{path}",
            body,
            {
                "Authorization": f"Bearer {_token(self.variables, 'GITHUB_TOKEN')}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )


@dataclass(frozen=True, slots=True)
class GitLab:
    """GitLab's REST API (docs.gitlab.com/api). The job's own token may not write notes, so a
    project's access token with the scope `api` is taken from GITLAB_TOKEN.
    """

    variables: Mapping[str, str]

    def comment(self, text: str) -> None:
        """A note of the merge request that the pipeline is for."""
        number = self.variables.get("CI_MERGE_REQUEST_IID")
        if not number:
            raise console.Failed(
                "this pipeline belongs to no merge request",
                'run it with `rules: if: $CI_PIPELINE_SOURCE == "merge_request_event"`',
            )
        path = f"/merge_requests/{number}/notes"
        notes = self._call("GET", f"{path}?per_page=100&sort=desc")
        found = next((item for item in notes if MARKER in item["body"]), None)
        if found is None:
            self._call("POST", path, {"body": text})
        else:
            self._call("PUT", f"{path}/{found['id']}", {"body": text})

    def issue(self, title: str, text: str | None) -> str:
        """One open issue of a title at a time."""
        listed = self._call("GET", "/issues?state=opened&labels=drift&per_page=100")
        found = next((item for item in listed if item["title"] == title), None)
        done = _decided(found, text, "description")
        match done:
            case "opened":
                made = {"title": title, "description": text, "labels": "drift"}
                self._call("POST", "/issues", made)
            case "updated" | "closed":
                change = {"description": text} if done == "updated" else {"state_event": "close"}
                self._call("PUT", f"/issues/{(found or {})['iid']}", change)
        return done

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        base = self.variables.get("CI_API_V4_URL", "https://gitlab.com/api/v4")
        return _request(
            method,
            f"{base}/projects/{self.variables['CI_PROJECT_ID']}{path}",
            body,
            {"PRIVATE-TOKEN": _token(self.variables, "GITLAB_TOKEN")},
        )


def _decided(found: Mapping[str, Any] | None, text: str | None, key: str) -> str:
    """What becomes of an issue: `opened`, `updated`, `closed`, `unchanged` or `none`."""
    if text is None:
        return "none" if found is None else "closed"
    if found is None:
        return "opened"
    return "unchanged" if found.get(key) == text else "updated"


def _token(variables: Mapping[str, str], name: str) -> str:
    if not variables.get(name):
        raise console.Failed(f"{name} is not set", "give it to this step of the job")
    return variables[name]


def _request(
    method: str, url: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
) -> Any:
    try:
        answer = httpx.request(method, url, json=body, headers=dict(headers), timeout=_SECONDS)
    except httpx.HTTPError as error:
        raise console.Failed(f"{method} {url}: {type(error).__name__}") from None
    if answer.status_code >= 400:
        raise console.Failed(
            f"{method} {url}: status {answer.status_code}",
            "check the token and what it may write",
        )
    return answer.json() if answer.content else None
