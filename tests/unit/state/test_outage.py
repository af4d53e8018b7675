"""A rate limit server that is away, seen from one process."""

import logging
import socket
import time
from collections.abc import Iterator

import pytest
from support.clock import Clock

from app.ratelimit.redis import PAUSE_SECONDS, RedisLimiter
from app.ratelimit.redis_connections import TIMEOUT_SECONDS
from app.ratelimit.token_bucket import Decision, token_bucket
from app.state.outage import Outage

PASSED = Decision(allowed=True, remaining=4, retry_after_us=0, full_after_us=1)
SECRET = "secret-of-the-url"


class Fallback:
    """Lets everybody pass and notes who that was."""

    def __init__(self) -> None:
        self.clients: list[str] = []

    def take(self, client: str) -> Decision:
        self.clients.append(client)
        return PASSED

    def give_back(self, client: str) -> None:
        self.clients.remove(client)


@pytest.fixture
def clock() -> Clock[float]:
    """Return a clock that counts seconds."""
    return Clock(1000.0)


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Return a listener that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def limiter_of(
    listener: socket.socket, outage: Outage, clock: Clock[float], fallback: Fallback | None = None
) -> RedisLimiter:
    url = f"redis://:{SECRET}@127.0.0.1:{listener.getsockname()[1]}/0"
    return RedisLimiter(url, token_bucket(60, 10), fallback or Fallback(), outage, clock)


def connections(listener: socket.socket) -> int:
    """Return how many connections have come in since the last call."""
    count = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_a_silent_server_costs_one_timeout_and_is_left_alone(
    silent: socket.socket, clock: Clock[float]
) -> None:
    """The first request waits for some 50 ms; the others of the pause go to the fallback at once.

    After the pause one request tries again.
    """
    fallback = Fallback()
    limiter = limiter_of(silent, Outage(), clock, fallback)
    before = time.monotonic()
    assert [limiter.take("a") for _ in range(100)] == [PASSED] * 100
    assert TIMEOUT_SECONDS <= time.monotonic() - before < 1
    assert fallback.clients == ["a"] * 100
    assert connections(silent) == 1

    clock.now += PAUSE_SECONDS
    limiter.take("a")
    limiter.take("a")
    assert connections(silent) == 1


def test_a_token_of_the_fallback_is_given_back_to_it(
    silent: socket.socket, clock: Clock[float]
) -> None:
    """In the pause without asking the server; a server that falls silent then costs one timeout."""
    fallback = Fallback()
    limiter = limiter_of(silent, Outage(), clock, fallback)
    limiter.take("a")
    assert connections(silent) == 1
    limiter.give_back("a")
    assert fallback.clients == []
    assert connections(silent) == 0

    other = limiter_of(silent, Outage(), clock, fallback)
    other.give_back("a")
    assert connections(silent) == 1
    other.take("b")
    assert fallback.clients == ["b"]
    assert connections(silent) == 0


def test_an_outage_is_told_once(
    silent: socket.socket, clock: Clock[float], caplog: pytest.LogCaptureFixture
) -> None:
    """Two workers, five failures: one warning, one outage, and no password in the log."""
    outage = Outage()
    workers = [limiter_of(silent, outage, clock) for _ in range(2)]
    for _ in range(5):
        for worker in workers:
            worker.take("a")
        clock.now += PAUSE_SECONDS
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "each host limits by itself" in record.getMessage()
    assert SECRET not in str(vars(record))
    assert outage.count == 1


def test_each_outage_counts() -> None:
    """Begin and end are told once each, however many workers notice."""
    outage = Outage()
    assert not outage.end()
    assert [outage.begin() for _ in range(3)] == [True, False, False]
    assert [outage.end() for _ in range(3)] == [True, False, False]
    assert outage.begin()
    assert outage.count == 2
