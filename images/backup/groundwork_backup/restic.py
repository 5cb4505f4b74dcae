"""A restic repository, through restic's command line.

Exit codes and messages: restic.readthedocs.io, "Scripting".
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO, IOBase
from pathlib import Path
from typing import IO, Any

from groundwork_backup.config import Repository
from groundwork_backup.failure import Failed, Full

_FAILED, _NO_REPOSITORY, _LOCKED, _WRONG_PASSWORD = 1, 10, 11, 12
_WAIT_FOR_LOCK = "5m"
_FULL = "no space left"
_TOLD_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Saved:
    """A saved stream: bytes read, and bytes added after deduplication and compression."""

    size: int
    added: int


class Restic:
    """One repository, for the snapshots of one stack. `cache` is a folder that may be lost."""

    def __init__(self, repository: Repository, cache: Path, stack: str) -> None:
        self.repository, self._stack = repository, stack
        self._environment = {
            **os.environ,
            **repository.environment,
            "RESTIC_PASSWORD": repository.password,
            "RESTIC_REPOSITORY": repository.url,
            "RESTIC_CACHE_DIR": str(cache),
            "RESTIC_PROGRESS_FPS": "0.2",
        }

    def open(self, *, read_only: bool = False) -> None:
        """Makes the repository where there is none. Raises Failed if it cannot be opened."""
        if read_only:
            self._run("cat", "config", "--no-lock")
            return
        self._make()

    def save(
        self,
        name: str,
        command: Sequence[str],
        *,
        tags: Sequence[str],
        environment: Mapping[str, str],
        progress: Callable[[int], None] = lambda _: None,
    ) -> Saved:
        """Saves what a command prints. Nothing is saved if the command fails; it has said why."""
        arguments = [
            "backup",
            "--json",
            "--retry-lock",
            _WAIT_FOR_LOCK,
            "--host",
            self._stack,
            "--stdin-filename",
            name,
            *(part for tag in tags for part in ("--tag", tag)),
            "--stdin-from-command",
            "--",
            *command,
        ]
        with (
            tempfile.TemporaryFile() as told,
            self._popen(*arguments, environment=environment, stderr=told) as process,
        ):
            summary: dict[str, Any] = {}
            for message in _messages(process.stdout):
                if message.get("message_type") == "status":
                    progress(int(message.get("bytes_done", 0)))
                    # Restic then waits for the command, which waits for restic to read on.
                    if _FULL.encode() in os.pread(told.fileno(), _TOLD_BYTES, 0):
                        process.terminate()
                        break
                elif message.get("message_type") == "summary":
                    summary = message
            status = process.wait()
            told.seek(0)
            if status != 0 or "snapshot_id" not in summary:
                raise self._explained(status, "backup", told.read().decode(errors="replace"))
        return Saved(summary["total_bytes_processed"], summary["data_added_packed"])

    @contextmanager
    def reading(self, snapshot: str, name: str) -> Iterator[Any]:
        """A saved stream. Raises Failed at its end if it could not be read whole."""
        with (
            tempfile.TemporaryFile() as told,
            self._popen("dump", "--no-lock", snapshot, name, stderr=told) as process,
        ):

            def end() -> None:
                status = process.wait()
                told.seek(0)
                if status != 0:
                    raise self._explained(status, "dump", told.read().decode(errors="replace"))

            stream = _Whole(process.stdout or BytesIO(), end)
            try:
                yield stream
            except BaseException:
                process.terminate()
                raise
            stream.read(1)

    def snapshots(self, *, of: str = "", tag: str = "") -> list[dict[str, Any]]:
        """Snapshots of this stack, or `of` another one, with a tag or with any."""
        arguments = ["snapshots", "--json", "--no-lock", "--host", of or self._stack]
        arguments += ["--tag", tag] if tag else []
        found: list[dict[str, Any]] = json.loads(self._run(*arguments).stdout)
        return found

    def surplus(self, tag: str, keep: Mapping[str, int]) -> list[str]:
        """The snapshots with a tag that a policy does not keep."""
        policy = [f"--keep-{period}={count}" for period, count in keep.items() if count]
        if not policy:
            return []
        about = ("--group-by", "host", "--host", self._stack, "--tag", tag)
        done = self._run("forget", "--dry-run", "--json", *about, *policy)
        # It answers nothing where there is nothing yet.
        groups = json.loads(done.stdout or "[]") or []
        return [item["id"] for group in groups for item in group["remove"] or ()]

    def forget(self, snapshots: Sequence[str]) -> None:
        """Removes snapshots and the data that no other one has."""
        if snapshots:
            self._run("forget", "--retry-lock", _WAIT_FOR_LOCK, "--prune", *snapshots)

    def copy_to(self, second: "Restic") -> None:
        """Copies this stack's snapshots that another repository does not have; it is made if there
        is none.
        """
        origin = {
            "RESTIC_FROM_PASSWORD": self.repository.password,
            "RESTIC_FROM_REPOSITORY": self.repository.url,
            **self.repository.environment,
            **second.repository.environment,
        }
        # The same chunks, or nothing would be found equal.
        second._make("--copy-chunker-params", environment=origin)
        second._run(
            "copy", "--retry-lock", _WAIT_FOR_LOCK, "--host", self._stack, environment=origin
        )

    def check(self, subset: str) -> None:
        """Checks the structure, and reads that part of the data. Raises Failed for damage."""
        self._run("check", "--retry-lock", _WAIT_FOR_LOCK, "--read-data-subset", subset)

    def unlock(self) -> None:
        """Removes locks of processes that were killed."""
        self._run("unlock", "--remove-all")

    def size(self) -> int:
        """Bytes in the repository."""
        if self.repository.url.startswith("/"):
            files = (path for path in Path(self.repository.url).rglob("*") if path.is_file())
            return sum(path.stat().st_size for path in files)
        done = self._run("stats", "--json", "--no-lock", "--mode", "raw-data")
        return int(json.loads(done.stdout)["total_size"])

    def _make(self, *options: str, environment: Mapping[str, str] | None = None) -> None:
        """Makes the repository where there is none; removes locks where there is one.

        They are what a killed process left. Nobody else writes here: the key is this stack's, and
        one of its processes at a time is at work.
        """
        if not self.repository.url.startswith("/"):
            # Restic makes a bucket that does not exist, but first looks into it for a quarter of an
            # hour if it is not told to.
            made = self._run("init", *options, environment=environment, allowed=(_FAILED,))
            if made.returncode == 0:
                return
            if "already" not in made.stderr:
                raise self._explained(made.returncode, "init", made.stderr)
        done = self._run("unlock", "--remove-all", allowed=(_NO_REPOSITORY,))
        if done.returncode == _NO_REPOSITORY:
            self._run("init", *options, environment=environment)

    def _run(
        self,
        *arguments: str,
        allowed: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["restic", *arguments],
            env={**self._environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (0, *allowed):
            raise self._explained(done.returncode, arguments[0], done.stderr)
        return done

    def _popen(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        stderr: int | IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["restic", *arguments],
            env={**self._environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )

    def _explained(self, status: int, command: str, told: str) -> Failed:
        where = f"repository `{self.repository.name}` ({self.repository.url})"
        last = " ".join(told.split())[-400:]
        if status == _WRONG_PASSWORD or "wrong password" in told:
            return Failed(
                f"{where} was made with another key: it is another stack's, or the master secret"
                " has changed",
                "restore with the kit of that stack, or name another repository in"
                " groundwork:backup",
            )
        if status == _LOCKED or "already locked" in told:
            return Failed(
                f"{where} is in use by another process",
                "wait for it, then run the same command again",
            )
        if _FULL in told:
            return Full(
                f"{where} is full; existing backups are not harmed",
                "raise groundwork:backup.disk, lower groundwork:backup.keep, or free disk space",
            )
        return Failed(
            f"restic {command}: {last or f'exit code {status}'}",
            f"check that the {where} can be reached, then run `make backup-check`",
        )


class _Whole(IOBase):
    """A stream whose end is one only if all of it could be read."""

    def __init__(self, stream: IO[bytes], end: Callable[[], None]) -> None:
        self._stream, self._end = stream, end

    def read(self, size: int = -1) -> bytes:
        chunk = self._stream.read(size)
        if size < 0 or not chunk:
            self._end()
        return chunk

    def fileno(self) -> int:
        return self._stream.fileno()


def _messages(stream: IO[bytes] | None) -> Iterator[dict[str, Any]]:
    for line in stream or ():
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if isinstance(message, dict):
            yield message
