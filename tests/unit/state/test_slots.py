import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.linux_process import in_child
from support.server import wait_for

from app.state.slots import SLOTS, Slots, Totals

LOOKS = 2000


@pytest.fixture
def slots() -> Slots:
    """Return slots of which this process has the first."""
    slots = Slots()
    slots.bind(slots.assign())
    return slots


def test_requests_are_counted_in_and_out(slots: Slots) -> None:
    """The number in flight is that of those which entered and didn't leave."""
    assert [slots.enter(), slots.enter()] == [True, True]
    assert slots.in_flight() == 2
    slots.leave()
    assert slots.in_flight() == 1


def test_nothing_enters_during_the_drain(slots: Slots) -> None:
    """Who came before is still counted, who comes after is refused and leaves no trace."""
    slots.enter()
    slots.drain()
    assert slots.draining
    assert slots.enter() is False
    assert slots.in_flight() == 1


def test_threads_of_a_worker_lose_no_count(slots: Slots) -> None:
    """8 threads that enter, count and leave at the same time come out at exact sums."""

    def work(_: int) -> None:
        for _ in range(500):
            slots.enter()
            slots.count_message(3, 1)
            slots.leave()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert slots.in_flight() == 0
    assert slots.totals() == Totals(messages=4000, bytes=12000, last_received_ms=1, timeouts=0)


def test_processes_are_summed(slots: Slots) -> None:
    """What forked workers count in their own slots is seen by all, the drain too."""

    def work() -> None:
        slots.bind(second)
        slots.enter()
        slots.count_message(10, 2000)
        slots.drain()

    second = slots.assign()
    slots.count_message(5, 1000)
    in_child(work)
    assert slots.in_flight() == 1
    assert slots.totals() == Totals(messages=2, bytes=15, last_received_ms=2000, timeouts=0)
    assert slots.draining


def test_a_dead_worker_takes_with_it_what_was_in_flight(slots: Slots) -> None:
    """Its slot is used again, and its messages stay counted below those of the next."""

    def work() -> None:
        slots.bind(second)
        slots.enter()
        slots.count_message(10, 2000)

    second = slots.assign()
    in_child(work)
    slots.release(second)
    assert slots.in_flight() == 0
    assert slots.assign() == second
    in_child(work)
    assert slots.totals() == Totals(messages=2, bytes=20, last_received_ms=2000, timeouts=0)


def test_the_least_busy_is_a_worker_that_accepts(slots: Slots) -> None:
    """Workers that accept nothing, or have ended, don't count; it is 0 when none accepts."""

    def work() -> None:
        slots.bind(second)
        slots.note_busy(2)

    second = slots.assign()
    assert slots.fewest_busy() == 0
    slots.note_busy(3)
    assert slots.fewest_busy() == 3
    in_child(work)
    assert slots.fewest_busy() == 2
    slots.release(second)
    assert slots.fewest_busy() == 3
    slots.note_busy(None)
    assert slots.fewest_busy() == 0


def test_the_last_received_is_the_latest(slots: Slots) -> None:
    """An earlier time that comes later doesn't set it back."""
    slots.count_message(1, 2000)
    slots.count_message(1, 1000)
    assert slots.totals().last_received_ms == 2000


def test_no_slot_has_two_workers() -> None:
    """Each gets another, as many as there are; one that is released twice is free once."""
    slots = Slots()
    assert len({slots.assign() for _ in range(SLOTS)}) == SLOTS
    slots.release(7)
    slots.release(7)
    assert slots.assign() == 7
    with pytest.raises(StopIteration):
        slots.assign()


def test_what_a_worker_writes_is_never_seen_to_fall(slots: Slots) -> None:
    """Another process that reads them all the while sees the totals only rise."""
    pid = os.fork()
    if pid == 0:
        try:
            while True:
                slots.count_message(1, 1)
        finally:
            os._exit(1)
    try:
        wait_for(lambda: slots.totals().messages)
        seen = [slots.totals().messages for _ in range(LOOKS)]
        assert seen[-1] > seen[0]
        assert seen == sorted(seen)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
