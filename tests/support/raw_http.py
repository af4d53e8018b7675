"""Bytes to a server and bytes back, past any HTTP library that would object."""

import socket
from contextlib import closing, suppress
from email import message_from_string

from support.server import Answer, Server

MESSAGE = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: raw\r\n\r\nHello\r\n"


def post(server: Server, *fields: bytes, path: str = "/mail/inbound") -> bytes:
    """Return the head of a POST with the token and `fields`, which are bytes."""
    fixed = [
        b"POST %b HTTP/1.1" % path.encode(),
        b"Host: localhost",
        b"Authorization: Bearer %b" % server.token.encode(),
        b"Content-Type: message/rfc822",
    ]
    return b"\r\n".join([*fixed, *fields]) + b"\r\n\r\n"


def whole_post(server: Server, *fields: bytes, message: bytes = MESSAGE) -> bytes:
    """Return a POST of `message`."""
    return post(server, b"Content-Length: %d" % len(message), *fields) + message


def exchange(server: Server, data: bytes, seconds: float = 10) -> bytes:
    """Send `data`, end the sending, and return all that comes back until the connection ends."""
    with closing(server.connect(seconds)) as connection:
        with suppress(ConnectionError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """Return what comes until the connection ends, in whichever way."""
    received = b""
    with suppress(ConnectionError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


def reset(connection: socket.socket) -> None:
    """Close `connection` so that the other side gets an error."""
    linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # on, 0 seconds
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.close()


def answers(received: bytes) -> list[Answer]:
    """Return the answers in `received`, to requests that weren't HEAD; 1xx are left out."""
    found = []
    while received:
        head, end, received = received.partition(b"\r\n\r\n")
        assert end, head
        status_line, *lines = head.decode("latin-1").split("\r\n")
        version, status = status_line.split()[:2]
        assert version == "HTTP/1.1", status_line
        headers = message_from_string("\n".join(lines))
        if status == "100":
            continue
        size = int(headers["Content-Length"])
        assert len(received) >= size
        found.append(Answer(int(status), headers, received[:size]))
        received = received[size:]
    return found
