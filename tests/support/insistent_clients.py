"""Clients that send each message to one host after the other until it is acknowledged."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any, Self

from support.hosts import AUTHORIZATION, listed
from support.plain_mail import random_mail
from support.server import Server, wait_for

CLIENTS = 8
ATTEMPT_SECONDS = 60
PAUSE_SECONDS = 0.05
CHECKED = 50


def usual_mail(number: int) -> bytes:
    """Return a message of its own for each number, mostly a small one."""
    return random_mail(number, one_large_in=199, small_bytes=8_000)


@dataclass(frozen=True)
class Receipt:
    """What the first acknowledgement of a message said; times by the monotonic clock.

    `refusals` are the attempts before it: those that got no answer, and 503.
    """

    message_id: str
    duplicate: bool
    sent_at: float
    acknowledged_at: float
    refusals: int


class InsistentClients:
    """A context manager: they begin at its start, and at its end finish what they have begun.

    `receipts` are by the queue id of the message; `statuses` count the answers, 0 being none.
    """

    def __init__(
        self,
        hosts: Sequence[Server],
        clients: int = CLIENTS,
        mail: Callable[[int], bytes] = usual_mail,
    ) -> None:
        """`mail` makes the message for each number."""
        self._hosts = hosts
        self._mail = mail
        self._clients = clients
        self._numbers = count()
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(clients)
        self._running: list[Future[None]] = []
        self.receipts: dict[str, Receipt] = {}
        self.statuses = Counter[int]()

    def __enter__(self) -> Self:
        self._running = [self._pool.submit(self._run, number) for number in range(self._clients)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown()
        for client in self._running:
            client.result()  # none has ended by a failure of its own

    def wait_for_more(self, count: int, seconds: float = ATTEMPT_SECONDS) -> None:
        """Return when so many more messages are acknowledged."""
        before = len(self.receipts)
        wait_for(lambda: len(self.receipts) >= before + count, seconds)

    def message_ids(self) -> set[str]:
        """Return the ids of the messages that are acknowledged."""
        return {each.message_id for each in self.receipts.copy().values()}

    def webhook_ids(self) -> set[str]:
        """Return their ids as applications get them."""
        return {f"msg_{message_id}" for message_id in self.message_ids()}

    def longest_gap(self, since: float) -> float:
        """Return the longest time without an acknowledgement from then on, in seconds."""
        times = sorted(each.acknowledged_at for each in self.receipts.copy().values())
        return max(after - before for before, after in pairwise(times) if after >= since)

    def first_after(self, moment: float) -> float:
        """Return how long after `moment` a message was acknowledged again, in seconds."""
        times = [each.acknowledged_at for each in self.receipts.copy().values()]
        return min(at for at in times if at > moment) - moment

    def check_stored_once(self) -> None:
        """Check that each host lists what was acknowledged, once and whole, and nothing else."""
        expected = {receipt.message_id: key for key, receipt in self.receipts.items()}
        assert len(expected) == len(self.receipts)
        for host in self._hosts:
            # A message isn't listed while an older transaction is open, of a delivery for example.
            found = wait_for(lambda: self._listed_all(host))  # noqa: B023
            assert len(found) == len(set(found)), "a message is listed twice"
            assert dict(found) == expected
        self.check_bytes(len(expected) // CHECKED + 1)

    def check_bytes(self, one_in: int = 1) -> None:
        """Compare one in so many of the messages that were acknowledged with what was sent."""
        for key, receipt in list(self.receipts.items())[::one_in]:
            path = f"/messages/{receipt.message_id}/raw"
            answer = self._hosts[-1].request("GET", path, headers=AUTHORIZATION)
            assert answer.body == self._mail_of(key)

    def _listed_all(self, host: Server) -> list[tuple[str, str]] | None:
        found = [(each["id"], each["envelope"]["queue_id"]) for each in listed(host)]
        return found if len(found) >= len(self.receipts) else None

    def _run(self, client: int) -> None:
        while not self._stop.is_set():
            key = f"queue{next(self._numbers)}"
            self.receipts[key] = self._deliver(client, key)

    def _deliver(self, client: int, key: str) -> Receipt:
        raw, began = self._mail_of(key), time.monotonic()
        for attempt in count():
            answer = self._attempt(self._hosts[(client + attempt) % len(self._hosts)], raw, key)
            if answer is not None:
                now = time.monotonic()
                return Receipt(answer["message_id"], answer["duplicate"], began, now, attempt)
            assert time.monotonic() < began + ATTEMPT_SECONDS, f"{key} was never acknowledged"
            time.sleep(PAUSE_SECONDS)
        raise AssertionError

    def _attempt(self, host: Server, raw: bytes, key: str) -> Any:
        try:
            answer = host.deliver(raw, X_Original_Queue_Id=key)
        except (OSError, http.client.HTTPException):
            self.statuses[0] += 1
            return None
        self.statuses[answer.status] += 1
        assert answer.status in {200, 503}, answer.body
        return answer.json() if answer.status == 200 else None

    def _mail_of(self, key: str) -> bytes:
        return self._mail(int(key.removeprefix("queue")))
