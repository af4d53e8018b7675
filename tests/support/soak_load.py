"""Clients of every kind that keep a server busy for a long while, and count what they are told."""

import http.client
import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Self

from support.server import Server
from support.upload import Upload

SMALL_CLIENTS, LARGE_CLIENTS, SLOW_CLIENTS = 4, 1, 2
CLIENTS = SMALL_CLIENTS + LARGE_CLIENTS + SLOW_CLIENTS
LARGE_BYTES = 1_500_000  # gets a segment of its own
LARGE_PAUSE_SECONDS = 2
SLOW_STEPS, SLOW_PAUSE_SECONDS = 20, 0.1
REQUESTS_OF_A_CONNECTION = 50
BLOCKED_DOMAIN = "blocked.example"
HEAD = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: soak\r\n\r\n"
# What is refused, and how: other fields, other bytes, the status.
REFUSALS: tuple[tuple[dict[str, str], bytes, int], ...] = (
    ({"Authorization": "Bearer wrong-token"}, HEAD, 401),
    ({"X-Original-Sender": f"a@{BLOCKED_DOMAIN}"}, HEAD, 403),
    ({"Content-Type": "image/png"}, HEAD, 415),
    ({}, b"no message at all", 422),
)


class SoakLoad:
    """Sends from its `with` on until the end of it.

    `statuses` counts the answers, `stored` and `duplicates` those with 200; `wrong` are requests
    without the answer that was due.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.statuses = Counter[int]()
        self.stored = self.duplicates = 0
        self.wrong: list[str] = []
        kinds = [self._small] * SMALL_CLIENTS + [self._large] * LARGE_CLIENTS
        kinds += [self._slow] * SLOW_CLIENTS
        self._threads = [
            threading.Thread(target=self._run, args=(kind, number))
            for number, kind in enumerate(kinds)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def total(self) -> int:
        """Return how many requests were answered."""
        return self.statuses.total()

    def _run(self, kind: Callable[[int, int], None], client: int) -> None:
        for turn in itertools.count():
            if self._stop.is_set():
                return
            try:
                kind(client, turn)
            except Exception as error:  # noqa: BLE001 -- each is a breach, and the load goes on
                self.wrong.append(repr(error))

    def _small(self, client: int, turn: int) -> None:
        """Keep a connection for a while; a tenth are repeats, and a tenth are refused."""
        dice = random.Random(turn * CLIENTS + client)
        port = self._server.port
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            for number in range(REQUESTS_OF_A_CONNECTION):
                key = f"{client}-{turn}-{number}"
                raw = HEAD + key.encode() + bytes(dice.randrange(500, 8_000))
                self._post(connection, raw, {"Idempotency-Key": key})
                if dice.random() < 0.1:
                    self._post(connection, raw, {"Idempotency-Key": key}, duplicate=True)
                if dice.random() < 0.1:
                    fields, body, status = dice.choice(REFUSALS)
                    self._post(connection, body, fields, status)
                if self._stop.is_set():
                    return

    def _large(self, client: int, turn: int) -> None:
        port = self._server.port
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            raw = HEAD + bytes(LARGE_BYTES)
            self._post(connection, raw, {"Idempotency-Key": f"{client}-{turn}"})
        self._stop.wait(LARGE_PAUSE_SECONDS)

    def _slow(self, client: int, turn: int) -> None:
        """Every other upload is finished slowly, the rest are given up."""
        upload = Upload(self._server, f"slow-{client}-{turn}")
        with upload.socket:
            for _ in range(SLOW_STEPS):
                upload.send(1)
                self._stop.wait(SLOW_PAUSE_SECONDS)
            if turn % 2 == 0:
                answer = upload.finish()
                self._note(answer.status, answer.body, expected=200, duplicate=False)

    def _post(
        self,
        connection: http.client.HTTPConnection,
        raw: bytes,
        fields: dict[str, str],
        status: int = 200,
        *,
        duplicate: bool = False,
    ) -> None:
        fixed = {
            "Authorization": f"Bearer {self._server.token}",
            "Content-Type": "message/rfc822",
        }
        connection.request("POST", "/mail/inbound", raw, fixed | fields)
        answer = connection.getresponse()
        self._note(answer.status, answer.read(), expected=status, duplicate=duplicate)

    def _note(self, status: int, body: bytes, *, expected: int, duplicate: bool) -> None:
        with self._lock:
            self.statuses[status] += 1
            if status != expected or (status == 200 and is_duplicate(body) != duplicate):
                self.wrong.append(f"{status} instead of {expected}: {body[:200]!r}")
            elif status == 200 and duplicate:
                self.duplicates += 1
            elif status == 200:
                self.stored += 1


def is_duplicate(body: bytes) -> bool:
    """Tell whether the answer says that the message was stored before."""
    return b'"duplicate":true' in body.replace(b" ", b"")
