"""A mail server that keeps what it is sent (RFC 5321, as much as a client needs)."""

import email
import email.policy
import socketserver
from email.message import EmailMessage


class _Session(socketserver.StreamRequestHandler):
    server: "MailServer"

    def handle(self) -> None:
        self._say("220 test")
        while line := self.rfile.readline().decode().strip():
            match line.split(" ")[0].split(":")[0].upper():
                case "EHLO" | "HELO":
                    self._say("250 test")
                case "DATA":
                    self._say("354 go on")
                    self.server.messages.append(self._message())
                    self._say("250 kept")
                case "QUIT":
                    self._say("221 bye")
                    return
                case _:
                    self._say("250 ok")

    def _message(self) -> EmailMessage:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        parsed = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class MailServer(socketserver.ThreadingTCPServer):
    """Stands for a company's mail server."""

    daemon_threads = True

    def __init__(self, address: str) -> None:
        super().__init__((address, 0), _Session)
        self.messages: list[EmailMessage] = []

    @property
    def host(self) -> str:
        """As containers reach it."""
        return f"host.docker.internal:{self.server_address[1]}"
