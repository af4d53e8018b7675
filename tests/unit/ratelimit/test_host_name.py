"""The name of the rate limit server, while name servers answer, fail, or say nothing."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import RedisError, SSLConnection
from support.clock import Clock
from support.server import wait_for

from app.ratelimit import host_name
from app.ratelimit.host_name import FRESH_SECONDS, HostName
from app.ratelimit.redis import PAUSE_SECONDS, RedisLimiter
from app.ratelimit.redis_connections import TIMEOUT_SECONDS, connections
from app.ratelimit.token_bucket import Decision, token_bucket
from app.state.outage import Outage

NAME = "redis.test"
PASSED = Decision(allowed=True, remaining=4, retry_after_us=0, full_after_us=1)
REAL_GETADDRINFO: Callable[..., list[Any]] = socket.getaddrinfo
LONG = 6  # nothing here takes that long unless it hangs


class NameServer:
    """Answers with `addresses` once it is told to; None is a failure."""

    def __init__(self) -> None:
        self.addresses: list[str] | None = ["192.0.2.1"]
        self.answers = threading.Event()
        self.asked_by: list[threading.Thread] = []

    def look_up(self, _name: str) -> list[str]:
        self.asked_by.append(threading.current_thread())
        assert self.answers.wait(LONG)
        if self.addresses is None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return list(self.addresses)

    def getaddrinfo(self, host: str, *rest: Any, **named: Any) -> list[Any]:
        """Stand in for the function of `socket`, which is used for addresses too."""
        if host != NAME:
            return REAL_GETADDRINFO(host, *rest, **named)
        return [(socket.AF_INET, 0, 0, "", (each, 0)) for each in self.look_up(host)]


class Fallback:
    """Lets everybody pass."""

    def take(self, _client: str) -> Decision:
        return PASSED

    def give_back(self, _client: str) -> None:
        """Let nobody pass once more."""


@pytest.fixture
def clock() -> Clock[float]:
    return Clock(1000.0)


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    """Return one that doesn't answer yet; whoever still waits is released with the test."""
    server = NameServer()
    yield server
    server.answers.set()


def test_a_name_server_that_hangs_delays_no_request(
    name_server: NameServer, clock: Clock[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 16 threads none waits longer than for a silent Redis, and one thread asks for the name."""
    monkeypatch.setattr(socket, "getaddrinfo", name_server.getaddrinfo)
    limiter = RedisLimiter(f"redis://{NAME}:1/0", token_bucket(60, 10), Fallback(), Outage(), clock)
    began = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(limiter.take, ["a"] * 16)) == {PASSED}
        for _ in range(20):
            clock.now += PAUSE_SECONDS
            assert set(pool.map(limiter.take, ["a"] * 4)) == {PASSED}
    assert time.monotonic() - began < LONG / 3
    assert len(name_server.asked_by) == 1


def test_while_it_is_away_one_request_at_a_time_tries(
    clock: Clock[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the pause, the others use the fallback at once: they don't wait for that one."""
    limiter = RedisLimiter(
        "redis://127.0.0.1:1/0", token_bucket(60, 10), Fallback(), Outage(), clock
    )
    limiter.take("a")
    trying, goes_on = threading.Semaphore(0), threading.Event()

    def ask(*_: object) -> Sequence[int]:
        trying.release()
        assert goes_on.wait(LONG)
        raise RedisError("still away")

    monkeypatch.setattr(limiter, "_script", ask)
    clock.now += PAUSE_SECONDS
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(limiter.take, "a")
        assert trying.acquire(timeout=LONG)
        assert [limiter.take("a") for _ in range(10)] == [PASSED] * 10
        assert not first.done()
        goes_on.set()
        assert first.result() == PASSED
    assert not trying.acquire(blocking=False)


def test_a_name_is_looked_up_in_the_background_and_kept(
    name_server: NameServer, clock: Clock[float]
) -> None:
    """The first request waits for it; for FRESH_SECONDS nobody asks again, then a thread does.

    Meanwhile, and when that fails, the last answer is good enough.
    """
    host = HostName(NAME, name_server.look_up, clock)
    assert host.addresses(0) == []
    name_server.answers.set()
    assert host.addresses(LONG) == ["192.0.2.1"]
    clock.now += FRESH_SECONDS - 1
    assert host.addresses(LONG) == ["192.0.2.1"]
    assert len(name_server.asked_by) == 1

    name_server.answers.clear()
    name_server.addresses = None
    clock.now += 1
    assert host.addresses(LONG) == ["192.0.2.1"]
    name_server.answers.set()
    wait_for(lambda: not name_server.asked_by[-1].is_alive())
    assert host.addresses(LONG) == ["192.0.2.1"]

    name_server.addresses = ["192.0.2.2"]
    clock.now += FRESH_SECONDS
    wait_for(lambda: host.addresses(0) == ["192.0.2.2"])
    assert threading.current_thread() not in name_server.asked_by


def test_an_address_that_does_not_answer_is_tried_last(
    name_server: NameServer, clock: Clock[float]
) -> None:
    """So the next attempt begins with another one; and the name is looked up again."""
    name_server.addresses = ["192.0.2.1", "192.0.2.2"]
    name_server.answers.set()
    host = HostName(NAME, name_server.look_up, clock)
    assert host.addresses(LONG) == ["192.0.2.1", "192.0.2.2"]
    name_server.answers.clear()
    host.put_last("192.0.2.1")
    host.put_last("192.0.2.9")
    assert host.addresses(0) == ["192.0.2.2", "192.0.2.1"]
    assert len(name_server.asked_by) == 2


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_an_address_needs_no_look_up(
    name_server: NameServer, clock: Clock[float], address: str
) -> None:
    """It is there at once, and stays, also if it doesn't answer for a while."""
    host = HostName(address, name_server.look_up, clock)
    host.put_last(address)
    clock.now += 10 * FRESH_SECONDS
    assert host.addresses(0) == [address]
    assert name_server.asked_by == []


@pytest.mark.parametrize("failure", [RuntimeError("can't start new thread"), None])
def test_what_fails_is_tried_again(
    name_server: NameServer,
    clock: Clock[float],
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception | None,
) -> None:
    """A machine that gives no thread, or no answer, is asked again."""
    host = HostName(NAME, name_server.look_up, clock)
    name_server.answers.set()
    with monkeypatch.context() as context:
        if failure is None:
            name_server.addresses = None
        else:
            context.setattr(threading.Thread, "start", lambda _: (_ for _ in ()).throw(failure))
        assert host.addresses(1) == []
    name_server.addresses = ["192.0.2.1"]
    clock.now += host_name.RETRY_SECONDS
    assert host.addresses(LONG) == ["192.0.2.1"]


@pytest.mark.parametrize("scheme", ["redis", "valkeys"])
def test_all_addresses_are_tried_within_one_timeout(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """The first that answers is used; with TLS, its certificate must be for the name."""
    names: list[str] = []

    def wrap(connection: SSLConnection, plain: socket.socket) -> socket.socket:
        names.append(connection.host)
        return plain

    monkeypatch.setattr(SSLConnection, "_wrap_socket_with_ssl", wrap)
    monkeypatch.setattr(socket, "getaddrinfo", name_server.getaddrinfo)
    name_server.addresses = ["127.0.0.2", "127.0.0.1"]
    name_server.answers.set()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        connection: Any = connections(f"{scheme}://{NAME}:{port}/0").make_connection()
        with connection._connect() as reached:
            assert reached.getpeername() == ("127.0.0.1", port)
    assert connection.host == NAME
    assert connection.socket_connect_timeout <= TIMEOUT_SECONDS
    assert names == ([NAME] if scheme == "valkeys" else [])
