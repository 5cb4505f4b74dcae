"""What a server says to a client that begins without TLS."""

import socket

HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
"""How a client of gRPC begins (RFC 9113, section 3.4), with empty settings."""
CLICKHOUSE = b"\x00\x06health\x01\x01\xd4\xa8\x03\x00\x00\x00"
"""A greeting of the native protocol, without a login."""
_ALERT = b"\x15"


def answers(host: str, port: int, greeting: bytes) -> bool:
    """True if a server goes on with what it was sent; one that speaks TLS alone closes the
    connection, with an alert of TLS or without.
    """
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall(greeting)
        try:
            return connection.recv(1) not in (b"", _ALERT)
        except ConnectionResetError:
            return False
