"""An application that comes back after an outage, with all the mail that has waited for it."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple

import pytest
from support.linux_process import resident_bytes
from support.old_mail import store_old_mail
from support.rounds import rounds
from support.server import NewServer, Server, free_port, wait_for
from support.webhook import Push, Webhook, webhook

from app.storage.delivery import State
from app.storage.sqlite.store import SQLiteStore

PENDING = rounds(20_000, 2_000)
CONCURRENCY = 8
SLOW_ANSWERS = 100  # the first ones, so that as many are under way as may be
SLOW_SECONDS, FAST_SECONDS = 0.05, 0.002
ENDING_SECONDS = 2  # until what was under way has failed, too
PROBE_SECONDS = 60  # the first is after 30
ARRIVAL_SECONDS = 600
MOST_GROWTH = 8 * 1024**2

pytestmark = [pytest.mark.alone, pytest.mark.thorough]


class Begin(NamedTuple):
    """How many requests were answered when one began, and how many are under way with it."""

    answered: int
    under_way: int

    @property
    def most(self) -> int:
        """How many may be: with each doubling, as many as before have succeeded."""
        return min(1 << max(self.answered.bit_length() - 1, 0), CONCURRENCY)


class CountingAnswer:
    """Answers 200, and notes how many requests are under way."""

    def __init__(self) -> None:
        self.begins: list[Begin] = []
        self._answered = self._under_way = 0
        self._lock = threading.Lock()

    def __call__(self, _push: Push) -> int:
        with self._lock:
            self._under_way += 1
            self.begins.append(Begin(self._answered, self._under_way))
            is_slow = self._answered < SLOW_ANSWERS
        time.sleep(SLOW_SECONDS if is_slow else FAST_SECONDS)
        with self._lock:
            self._under_way -= 1
            self._answered += 1
        return 200


def is_spared(server: Server) -> bool:
    """Return whether the application's circuit breaker is open."""
    with closing(SQLiteStore(server.data_dir)) as store:
        return "webhook" in store.deliveries.open_breakers()


def memory_amid(server: Server, hook: Webhook) -> list[int]:
    """Return what the delivery process has in memory from a tenth of the mail to nine of them."""
    pid, sizes = wait_for(server.delivery_pid), list[int]()
    deadline = time.monotonic() + ARRIVAL_SECONDS
    while (count := len(hook.accepted)) < PENDING:
        assert time.monotonic() < deadline, f"only {count} have arrived"
        if PENDING <= count * 10 <= PENDING * 9:
            sizes.append(resident_bytes([pid]))
        time.sleep(0.05)
    return sizes


@pytest.mark.promise("an endpoint that comes back isn't brought down again")
def test_all_that_has_waited_arrives_without_a_stampede(
    new_server: NewServer, record_property: Callable[[str, object], None]
) -> None:
    """First 1 request at once, then 2, 4 and 8, never more; all arrives once, in flat memory."""
    port, counting = free_port(), CountingAnswer()
    server = new_server(webhook_url=f"http://127.0.0.1:{port}/mail", log_level="warning")
    stored = store_old_mail(server.data_dir, PENDING, 0.1, b"waiting", ("webhook",))
    server.start()
    wait_for(lambda: is_spared(server), 30)
    time.sleep(ENDING_SECONDS)
    with webhook(port) as hook:
        hook.answer = counting
        wait_for(lambda: hook.pushes, PROBE_SECONDS)
        began = time.monotonic()
        sizes = memory_amid(server, hook)
        seconds = time.monotonic() - began
        assert Counter(push.webhook_id for push in hook.accepted) == {
            f"msg_{message_id}": 1 for message_id in stored
        }
    wait_for(lambda: states(server) == {State.DELIVERED: PENDING})
    beyond = [each for each in counting.begins if each.under_way > each.most]
    assert beyond == []
    assert steps(counting.begins) == {1: 1, 2: 2, 4: 4, 8: 8}
    growth = max(sizes) - sizes[0]
    told = (
        f"{PENDING} messages in {seconds:.0f} s, at most 1, 2, 4, {CONCURRENCY} requests at once,"
        f" {sizes[0] / 1024**2:.1f} MiB of memory, {growth / 1024**2:.1f} more at most"
    )
    print(told)
    record_property("rounds", told)
    assert growth <= MOST_GROWTH


def steps(begins: list[Begin]) -> dict[int, int]:
    """Return how many requests were under way at most, by how many may have been."""
    found: dict[int, int] = {}
    for each in begins:
        found[each.most] = max(found.get(each.most, 0), each.under_way)
    return found


def states(server: Server) -> dict[State, int]:
    """Return how many deliveries are in each state."""
    with closing(SQLiteStore(server.data_dir)) as store:
        return {each.state: each.count for each in store.deliveries.figures()}
