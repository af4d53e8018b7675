"""A POST of a message, sent as slowly as a test wants."""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.server import Answer, Server, wait_for

MESSAGE = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: slow\r\n\r\nHello\r\n"


class Upload:
    """The head and half of MESSAGE are sent; the rest follows when it is told to."""

    def __init__(self, server: Server, queue_id: str = "slow") -> None:
        fields = [
            "POST /mail/inbound HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {server.token}",
            "Content-Type: message/rfc822",
            f"X-Original-Queue-Id: {queue_id}",
            f"Content-Length: {len(MESSAGE)}",
        ]
        self.socket = server.connect()
        self.left = MESSAGE[20:]
        self.socket.sendall("\r\n".join(fields).encode() + b"\r\n\r\n" + MESSAGE[:20])

    def send(self, size: int) -> None:
        """Send `size` more bytes."""
        piece, self.left = self.left[:size], self.left[size:]
        self.socket.sendall(piece)

    def answer(self) -> Answer:
        """Return the answer; http.client.HTTPException or OSError when there is none."""
        answer = http.client.HTTPResponse(self.socket, method="POST")
        answer.begin()
        return Answer(answer.status, answer.headers, answer.read())

    def finish(self) -> Answer:
        """Send the rest and return the answer."""
        self.send(len(self.left))
        return self.answer()

    def close(self) -> None:
        """Give up."""
        self.socket.close()


@contextmanager
def uploads_in_flight(server: Server, count: int) -> Iterator[list[Upload]]:
    """Yield `count` uploads that the server waits for; no other request is in flight."""
    uploads = [Upload(server, f"slow{number}") for number in range(count)]
    try:
        wait_for(lambda: metrics(server)["active_requests"] == count + 1)
        yield uploads
    finally:
        for upload in uploads:
            upload.close()


def metrics(server: Server) -> Any:
    """Return what /metrics answers, once that request has left the count of active ones."""
    with server.connect() as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return json.loads(answer.partition(b"\r\n\r\n")[2])
