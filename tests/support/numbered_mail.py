"""Clients that send numbered messages, some of them twice, and remember the answers."""

import http.client
import itertools
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

from support.plain_mail import random_mail
from support.server import Server


def message(number: int) -> bytes:
    """Return a message of its own for each number; one in eight is larger than 1 MiB."""
    return random_mail(number, one_large_in=8)


@dataclass(frozen=True)
class Receipt:
    """The answer 200 to one request, and when both were (time.monotonic)."""

    message_id: str
    sent: float
    answered: float


class Senders:
    """`clients` threads that send one message after the other while the context lasts.

    Every third message is sent by two of them at about the same moment. `receipts` holds the
    answers 200 by the number of the message, and `statuses` counts the answers.
    """

    def __init__(self, server: Server, clients: int = 6) -> None:
        self.receipts = defaultdict[int, list[Receipt]](list)
        self.sent = set[int]()
        self.statuses = Counter[int | None]()
        self._server = server
        self._clients = clients
        self._numbers = (n for n in itertools.count() for _ in range(2 if n % 3 == 0 else 1))
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(clients)

    def __enter__(self) -> Self:
        self._stop.clear()
        self._pool = ThreadPoolExecutor(self._clients)
        self._running = [self._pool.submit(self._run) for _ in range(self._clients)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown()
        for client in self._running:
            client.result()

    def unanswered(self) -> list[int]:
        """Return the numbers of the messages that no 200 was seen for."""
        return sorted(self.sent - set(self.receipts))

    def forget_answers_in_flight(self, since: float, until: float) -> None:
        """Forget the answers to requests that were under way at a moment in between."""
        for number, receipts in list(self.receipts.items()):
            kept = [one for one in receipts if one.answered < since or one.sent > until]
            if kept:
                self.receipts[number] = kept
            else:
                del self.receipts[number]

    def send(self, number: int) -> None:
        """Send one message; no answer at all is a status too: None."""
        sent = time.monotonic()
        try:
            queue_id = f"queue{number}"
            answer = self._server.deliver(message(number), X_Original_Queue_Id=queue_id)
        except (OSError, http.client.HTTPException):
            answer = None
        answered = time.monotonic()
        with self._lock:
            self.statuses[answer.status if answer else None] += 1
            if answer and answer.status == 200:
                receipt = Receipt(answer.json()["message_id"], sent, answered)
                self.receipts[number].append(receipt)

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                number = next(self._numbers)
                self.sent.add(number)
            self.send(number)
