"""Many requests at once, each on a connection of its own."""

import http.client
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Self

from support.server import Answer, Server

MESSAGE = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: flood\r\n\r\nnumber %d\r\n"
DENIED = 429


@dataclass(frozen=True)
class Flood:
    """The answers in the order of the requests, and how many whole seconds they took."""

    answers: list[Answer]
    whole_seconds: int

    @property
    def statuses(self) -> list[int]:
        """The status of each answer."""
        return [answer.status for answer in self.answers]

    @property
    def passed(self) -> int:
        """How many requests the rate limit let pass."""
        return sum(status != DENIED for status in self.statuses)


def flood(server: Server, requests: Sequence[dict[str, str]], peer: str = "127.0.0.1") -> Flood:
    """Send one message for each of `requests`, which are headers, from the address `peer`.

    All connections are made first, so that the server has all requests before it can answer many.
    """
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(server, peer)) for _ in requests]
        started_at = time.monotonic()
        for number, (connection, headers) in enumerate(zip(connections, requests, strict=True)):
            send(connection, server.token, MESSAGE % number, headers)
        answers = [receive(connection) for connection in connections]
        return Flood(answers, int(time.monotonic() - started_at))


class Connection(http.client.HTTPConnection):
    """A connection that closes itself."""

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(server: Server, peer: str = "127.0.0.1") -> Connection:
    """Return a connection of the client `peer`, an address of loopback."""
    return Connection("127.0.0.1", server.port, timeout=60, source_address=(peer, 0))


def send(connection: HTTPConnection, token: str, body: bytes, headers: dict[str, str]) -> None:
    """Send a message without waiting for the answer."""
    fixed = {"Authorization": f"Bearer {token}", "Content-Type": "message/rfc822"}
    connection.request("POST", "/mail/inbound", body, fixed | headers)


def receive(connection: HTTPConnection) -> Answer:
    """Return the answer to what was sent."""
    answer = connection.getresponse()
    return Answer(answer.status, answer.headers, answer.read())
