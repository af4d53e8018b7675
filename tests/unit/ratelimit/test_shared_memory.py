"""The table in shared memory: its size, what it forgets, its clock, and its lock."""

import fcntl
import multiprocessing
import os
import signal
import time
from collections.abc import Callable

import pytest
from support.clock import Clock
from support.linux_process import resident_bytes
from support.rounds import rounds

from app.ratelimit.shared_memory import SharedLimiter
from app.ratelimit.token_bucket import token_bucket
from app.state.bucket_table import BucketTable

SECOND_NS = 1_000_000_000
HOUR_NS = 3600 * SECOND_NS
MIB = 1024 * 1024

fork = multiprocessing.get_context("fork")


@pytest.fixture
def clock() -> Clock[int]:
    """Return a clock that counts nanoseconds."""
    return Clock(10 * HOUR_NS)


@pytest.fixture
def limiter(clock: Clock[int]) -> SharedLimiter:
    return SharedLimiter(BucketTable(), token_bucket(60, 10), clock)


def passing(limiter: SharedLimiter, client: str, attempts: int = 15) -> int:
    """Return how many of `attempts` requests of `client` pass."""
    return sum(limiter.take(client).allowed for _ in range(attempts))


def test_the_clock_refills(limiter: SharedLimiter, clock: Clock[int]) -> None:
    """Ten at once, then one a second of the clock that was given, to the microsecond."""
    assert passing(limiter, "192.0.2.1") == 10
    clock.now += SECOND_NS - 1000
    assert limiter.take("192.0.2.1").retry_after_us == 1
    clock.now += 1000
    assert passing(limiter, "192.0.2.1") == 1
    clock.now += HOUR_NS
    assert passing(limiter, "192.0.2.1") == 10


def test_the_clock_of_production_is_monotonic() -> None:
    """Unless told otherwise, the time of day isn't asked: five monotonic seconds, five tokens."""
    table, bucket = BucketTable(), token_bucket(60, 10)
    assert passing(SharedLimiter(table, bucket), "192.0.2.1") == 10
    later = SharedLimiter(table, bucket, lambda: time.monotonic_ns() + 5 * SECOND_NS)
    assert passing(later, "192.0.2.1") == 5


@pytest.mark.parametrize("spent", [0, 4, 15])
def test_a_clock_set_back_an_hour(limiter: SharedLimiter, clock: Clock[int], spent: int) -> None:
    """Nobody waits longer than a second for it, nobody gets a request more."""
    before = passing(limiter, "192.0.2.1", spent)
    clock.now -= HOUR_NS
    waited_for = limiter.take("192.0.2.1").retry_after_us
    assert waited_for <= 1_000_000
    clock.now += waited_for * 1000
    after = passing(limiter, "192.0.2.1")
    assert after >= 1
    assert before + after <= 10 + 1


def test_a_hundred_thousand_clients_take_no_more_memory(limiter: SharedLimiter) -> None:
    """The table is 1 MiB from the first client to the last, and the process doesn't grow."""
    descriptor = limiter._table.descriptor
    for number in range(10_000):
        limiter.take(f"warm {number}")
    before = resident_bytes([os.getpid()])
    for number in range(100_000):
        assert limiter.take(f"192.0.2.{number}").allowed
    assert len(limiter._table.memory) == os.fstat(descriptor).st_size == MIB
    assert resident_bytes([os.getpid()]) - before < 2 * MIB


def test_few_of_many_clients_are_forgotten(limiter: SharedLimiter) -> None:
    """20,000 clients at the same moment: fewer than one in fifty gets a token too many."""
    clients = [f"client {number}" for number in range(20_000)]
    for client in clients:
        limiter.take(client)
    kept = sum(limiter.take(client).remaining == 8 for client in clients)
    assert kept > 0.98 * len(clients)


@pytest.fixture
def one_set(clock: Clock[int]) -> SharedLimiter:
    """Return a limiter whose clients all meet in one set of four entries."""
    return SharedLimiter(BucketTable(sets=1), token_bucket(60, 10), clock)


@pytest.mark.parametrize("fullest", ["a", "b", "c", "d"])
def test_the_entry_closest_to_full_makes_room(one_set: SharedLimiter, fullest: str) -> None:
    """The fifth client of a set pushes out the one who loses least; the others stay as they are."""
    for client in "abcd":
        passing(one_set, client, 1 if client == fullest else 5)
    assert one_set.take("e").remaining == 9
    for client in set("abcd") - {fullest}:
        assert one_set.take(client).remaining == 4
    assert one_set.take(fullest).remaining == 9


def test_strangers_cannot_choose_their_set() -> None:
    """Two tables place the same clients differently: what one shows says nothing of another."""
    bucket = token_bucket(60, 10)
    first, second = (SharedLimiter(BucketTable(), bucket) for _ in range(2))
    clients = [f"192.0.2.{number}" for number in range(100)]
    assert sum(first._find_place(each) == second._find_place(each) for each in clients) == 0


def hold_lock(limiter: SharedLimiter, client: str, is_held: Callable[[], None]) -> None:
    """Take the record lock of `client` as a request does, and never come back."""
    _, number = limiter._find_place(client)
    fcntl.lockf(limiter._table.descriptor, fcntl.LOCK_EX, 1, number)
    is_held()
    signal.pause()


def test_a_killed_owner_leaves_no_lock(limiter: SharedLimiter) -> None:
    """While a process holds the lock others wait; when it is killed they go on at once."""
    held = fork.Event()
    child = fork.Process(target=hold_lock, args=(limiter, "192.0.2.1", held.set))
    child.start()
    try:
        assert held.wait(10)
        _, number = limiter._find_place("192.0.2.1")
        with pytest.raises(BlockingIOError):
            fcntl.lockf(limiter._table.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        assert limiter.take("192.0.2.2").allowed
    finally:
        child.kill()
        child.join()
    assert child.exitcode == -signal.SIGKILL
    before = time.monotonic()
    assert limiter.take("192.0.2.1").remaining == 9
    assert time.monotonic() - before < 1


def take_for_ever(limiter: SharedLimiter, report_empty: Callable[[], None]) -> None:
    while limiter.take("192.0.2.1").allowed:
        pass
    report_empty()
    while True:
        limiter.take("192.0.2.1")


def test_no_kill_makes_the_bucket_unusable(limiter: SharedLimiter, clock: Clock[int]) -> None:
    """Processes killed amid their requests: the bucket stays empty, and then refills."""
    for number in range(rounds(60, 20)):
        emptied = fork.Event()
        child = fork.Process(target=take_for_ever, args=(limiter, emptied.set))
        child.start()
        try:
            assert emptied.wait(10)
            time.sleep(number % 20 / 2000)  # so that each kill comes at another moment
        finally:
            child.kill()
            child.join()
        assert passing(limiter, "192.0.2.1") == 0
    clock.now += SECOND_NS
    assert passing(limiter, "192.0.2.1") == 1
