"""Redis: a snapshot as a replica receives it, given back as a primary sends it."""

import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from groundwork_backup.config import Source
from groundwork_backup.failure import Failed
from groundwork_backup.stores.interface import Counts, Opener, blocks

_ITEM = "dump.rdb"
_END_MARK = b"groundwork-backup-end-of-the-snapshot---"  # 40 bytes, as the protocol asks
_SYNC_SECONDS = 600


class Redis:
    """One instance, as a user that may replicate."""

    def __init__(self, source: Source, port: int, certificate: tuple[str, str]) -> None:
        """`port` is where this process is its primary during a restore, with a `certificate` if it
        speaks TLS.
        """
        self._source, self._port, self._certificate = source, port, certificate

    def version(self) -> str:
        """Such as `8.0.2`."""
        with self._client() as client:
            return str(client.info("server")["redis_version"])

    def items(self) -> Sequence[str]:
        """One snapshot of all databases."""
        return [_ITEM]

    def dump(self, item: str, out: IO[bytes]) -> dict[str, Any]:
        """Keys are counted at the start; the snapshot may have more."""
        counts = self._keys()
        done = subprocess.run(
            ["redis-cli", "-h", self._source.host, "-p", str(self._source.port),
             *(["--tls", "--cacert", self._source.authority] if self._source.authority else []),
             "--user", self._source.username, "--no-auth-warning", "--rdb", "-"],
            env={"PATH": "/usr/bin:/bin", "REDISCLI_AUTH": self._source.password},
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            told = " ".join(done.stderr.decode(errors="replace").split())[-400:]
            raise Failed(f"redis-cli: {told}", f"check the log of {self._source.name}")
        return {"counts": counts}

    def holds(self) -> Counts:
        """Keys that are not the platform's own."""
        found = self._keys()
        own = self._source.options.get("own")
        if own is not None and "db0" in found:
            with self._client() as client:
                found["db0"] -= sum(1 for _ in client.scan_iter(match=own, count=1000))
        return {name: count for name, count in found.items() if count > 0}

    def restore(self, streams: Mapping[str, Opener], facts: Mapping[str, Any]) -> Counts:
        """The instance becomes a replica of what was saved, and a primary again once it has it."""
        with (
            streams[_ITEM]() as stream,
            _Primary(self._port, self._source.password, stream, self._tls()) as primary,
            self._client() as client,
        ):
            # The address under which it sees this process is one that it can connect to.
            here = str(client.client_info()["addr"]).rpartition(":")[0]
            try:
                client.config_set("masterauth", self._source.password)
                client.replicaof(here, self._port)
                self._wait(client, primary)
            finally:
                self._end(client)
            self._written(client)
        return self._keys()

    def _tls(self) -> ssl.SSLContext | None:
        """What this process is as a server, to an instance that speaks TLS."""
        if not self._source.authority:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self._certificate)
        return context

    def _end(self, client: "redis.Redis") -> None:
        """Makes it a primary again, as soon as it takes commands."""
        deadline = time.monotonic() + _SYNC_SECONDS
        while True:
            try:
                client.replicaof("NO", "ONE")
                client.config_set("masterauth", "")
            except redis.exceptions.BusyLoadingError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return

    def _wait(self, client: "redis.Redis", primary: "_Primary") -> None:
        deadline = time.monotonic() + _SYNC_SECONDS
        while time.monotonic() < deadline:
            if primary.error is not None:
                raise primary.error
            with suppress(redis.exceptions.BusyLoadingError):
                if client.info("replication").get("master_link_status") == "up":
                    return
            time.sleep(0.1)
        raise Failed(
            f"{self._source.name} did not load the snapshot within {_SYNC_SECONDS} s",
            f"check the log of {self._source.name}: its memory must hold the snapshot; then run the"
            " same command again",
        )

    def _written(self, client: "redis.Redis") -> None:
        """Waits until the append-only file has what was loaded."""
        for _ in range(_SYNC_SECONDS):
            found = client.info("persistence")
            if not (found["aof_rewrite_in_progress"] or found["aof_rewrite_scheduled"]):
                if found["aof_last_bgrewrite_status"] == "ok":
                    return
                break
            time.sleep(1)
        raise Failed(
            f"{self._source.name} has loaded the snapshot, but not written it to its disk",
            "check its disk and its log, then run the same command again",
        )

    def _keys(self) -> Counts:
        with self._client() as client:
            space = client.info("keyspace")
        return {name: int(found["keys"]) for name, found in sorted(space.items())}

    @contextmanager
    def _client(self) -> Iterator["redis.Redis"]:
        source = self._source
        client = redis.Redis(
            host=source.host,
            port=source.port,
            username=source.username,
            password=source.password,
            ssl=bool(source.authority),
            ssl_ca_certs=source.authority or None,
            socket_timeout=60,
            socket_connect_timeout=10,
            # One that is down is told at once.
            retry=Retry(NoBackoff(), 0),
        )
        try:
            yield client
        finally:
            client.close()


class _Primary:
    """The primary's side of a full synchronization (redis.io, "Redis replication"), for one
    replica that knows the password. Of what it sends the end is marked, so its length need not be
    known.
    """

    def __init__(
        self,
        port: int,
        password: str,
        snapshot: IO[bytes],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._port, self._password, self._snapshot, self._tls = port, password, snapshot, tls
        self._listener = socket.create_server(("", port))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._connection: socket.socket | None = None
        self.error: BaseException | None = None

    def __enter__(self) -> "_Primary":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for item in filter(None, (self._listener, self._connection)):
            with suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)
            item.close()
        self._thread.join(timeout=10)

    def _serve(self) -> None:
        try:
            self._connection, _ = self._listener.accept()
            if self._tls is not None:
                self._connection = self._tls.wrap_socket(self._connection, server_side=True)
            self._answer(self._connection)
        except BaseException as error:
            # Others are those of a socket that is closed, at the end.
            if not isinstance(error, OSError) or isinstance(error, ssl.SSLError):
                self.error = error

    def _answer(self, connection: socket.socket) -> None:
        commands = connection.makefile("rb")
        known = False
        while command := _command(commands):
            word = command[0].upper()
            if word == b"AUTH":
                known = command[-1].decode() == self._password
                connection.sendall(b"+OK\r\n" if known else b"-WRONGPASS\r\n")
            elif not known:
                connection.sendall(b"-NOAUTH\r\n")
            elif word == b"PSYNC":
                self._send(connection)
            elif word == b"PING":
                connection.sendall(b"+PONG\r\n")
            elif command[1:2] != [b"ACK"]:
                connection.sendall(b"+OK\r\n")

    def _send(self, connection: socket.socket) -> None:
        connection.sendall(b"+FULLRESYNC " + b"0" * 40 + b" 0\r\n")
        connection.sendall(b"$EOF:" + _END_MARK + b"\r\n")
        for chunk in blocks(self._snapshot):
            connection.sendall(chunk)
        connection.sendall(_END_MARK)


def _command(stream: IO[bytes]) -> list[bytes]:
    """The next command; empty at the end of the connection."""
    head = stream.readline()
    if not re.match(rb"\*\d+\r\n", head):
        return []
    parts = []
    for _ in range(int(head[1:])):
        length = int(stream.readline()[1:])
        parts.append(stream.read(length))
        stream.readline()
    return parts
