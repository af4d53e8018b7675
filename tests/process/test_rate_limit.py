import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial

import pytest
from support.flood import DENIED, connect, flood, receive, send
from support.linux_process import kill_process, resident_bytes
from support.server import NewServer, Server, wait_for
from support.traffic import traffic

from app.storage.interface import Query
from app.storage.sqlite.store import SQLiteStore

pytestmark = pytest.mark.alone

DEFAULTS = {"rate_limit_per_minute": 60, "rate_limit_burst": 10, "workers": 4, "threads": 8}
# A token a minute: whatever passes beyond the burst within a test would be a fault.
SLOW = DEFAULTS | {"rate_limit_per_minute": 1}
BURST = 10
REQUESTS = 400
KILLS = 20
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def slow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server that gives each client ten requests, for tests with clients of their own."""
    with Server(tmp_path_factory.mktemp("slow"), **SLOW) as server:
        yield server.start()


def real_ip(address: str) -> dict[str, str]:
    return {"X-Real-IP": address}


@pytest.mark.promise("a rate limit is exact over all workers")
def test_exactly_the_burst_passes_then_one_after_the_wait(new_server: NewServer) -> None:
    """400 requests at once at 4 workers x 8 threads: ten pass, and are the ten that are stored.

    The refill of the time that the flood takes may add one a second. Retry-After is right: one
    more passes after it, and only one.
    """
    server = new_server(**DEFAULTS).start()
    result = flood(server, [{}] * REQUESTS)
    print(Counter(result.statuses), "in", result.whole_seconds, "whole seconds")
    assert set(result.statuses) == {200, DENIED}
    assert BURST <= result.passed <= BURST + result.whole_seconds
    stored = SQLiteStore(server.data_dir)
    assert stored.count(Query()) == result.passed
    stored.close()

    denied = server.deliver(b"Subject: x\r\nTo: b@example.com\r\n\r\n")
    assert denied.status == DENIED
    threading.Event().wait(int(denied.headers["Retry-After"]))
    assert flood(server, [{}] * 5).passed == 1


@pytest.mark.promise("a rate limit is exact over all workers")
def test_exactly_ten_of_four_hundred(slow_server: Server) -> None:
    """Where nothing comes back in time, ten pass: not nine, not eleven."""
    result = flood(slow_server, [real_ip("203.0.113.10")] * REQUESTS)
    assert Counter(result.statuses) == {200: BURST, DENIED: REQUESTS - BURST}
    waits = {int(each.headers["Retry-After"]) for each in result.answers if each.status == DENIED}
    assert waits <= set(range(50, 61))


@pytest.mark.promise("each client has a limit of its own")
def test_each_client_gets_its_own_ten(slow_server: Server) -> None:
    """50 clients behind one proxy, 12 requests each, all at once: ten pass for each of them."""
    clients = [f"192.168.1.{number}" for number in range(50)]
    requests = [real_ip(client) for client in clients * 12]
    random.Random(1).shuffle(requests)
    result = flood(slow_server, requests)
    passed = Counter(
        request["X-Real-IP"]
        for request, answer in zip(requests, result.answers, strict=True)
        if answer.status == 200
    )
    assert passed == dict.fromkeys(clients, BURST)


def test_the_smtp_client_is_limited_and_not_the_relay(slow_server: Server) -> None:
    """On /mail/inbound X-Original-Client-Address from a trusted peer has a bucket of its own."""
    for client in ("198.51.100.1", "198.51.100.2"):
        requests = [{"X-Original-Client-Address": client}] * 15
        assert flood(slow_server, requests).passed == BURST


def workers_at_rest(server: Server) -> list[int]:
    """Return the process ids of all workers when none of them is still loading."""

    def have_settled() -> list[int] | None:
        pids, before = server.worker_pids(), resident_bytes(server.worker_pids())
        threading.Event().wait(0.5)
        is_complete = len(pids) == SLOW["workers"] and pids == server.worker_pids()
        return pids if is_complete and resident_bytes(pids) == before else None

    return wait_for(have_settled, 30)


def spoofed(number: int, length: int) -> dict[str, str]:
    """Return headers that name another client for each `number`, each of some `length` bytes."""
    address = f"10.{number >> 8}.{number & 255}.7, "
    return {
        "X-Forwarded-For": address * (length // len(address)) + "10.0.0.1",
        "X-Real-IP": f"172.16.{number >> 8}.{number & 255}",
        "X-Original-Client-Address": f"172.17.{number >> 8}.{number & 255}",
    }


def statuses_of(server: Server, peer: str, requests: Sequence[dict[str, str]]) -> list[int]:
    """Return the status of each of `requests`, sent one after the other on one connection."""
    with connect(server, peer) as connection:
        statuses = []
        for headers in requests:
            send(connection, server.token, b"x", headers)
            statuses.append(receive(connection).status)
        return statuses


@pytest.mark.promise("a client cannot choose its bucket")
def test_a_stranger_cannot_choose_its_bucket(new_server: NewServer) -> None:
    """3,000 different claims from a peer that isn't trusted share its ten requests.

    Nothing of the claims is kept: the workers don't grow, although they add up to 21 MB.
    """
    server = new_server(**SLOW, trusted_proxies="127.0.0.1/32").start()
    stranger = "127.0.0.2"
    warm = statuses_of(server, stranger, [spoofed(0, 7000)] * 100)
    assert Counter(status == DENIED for status in warm) == {False: BURST, True: 90}
    workers = workers_at_rest(server)
    before = resident_bytes(workers)
    for thousand in range(3):  # kept-alive connections, which Gunicorn spreads over the workers
        statuses = statuses_of(
            server, stranger, [spoofed(thousand * 1000 + number, 7000) for number in range(1000)]
        )
        assert statuses == [DENIED] * 1000
    grown = resident_bytes(workers) - before
    print("grown by", grown, "bytes")
    assert server.worker_pids() == workers
    assert grown < 6 * MIB
    assert flood(server, [spoofed(1, 100)] * 15, peer="127.0.0.1").passed == BURST


def post_nothing(server: Server) -> int | None:
    """Return the status of a request without a token; None when its worker is killed."""
    with suppress(OSError, http.client.HTTPException):
        return server.request("POST", "/mail/inbound", seconds=5).status
    return None


def seconds_until_answered(server: Server) -> float:
    """Return how long a client waits that sends again when its connection is cut."""
    started_at = time.monotonic()
    while time.monotonic() < started_at + 5:
        with suppress(OSError, http.client.HTTPException):
            server.request("POST", "/mail/inbound", seconds=5)
            break
    return time.monotonic() - started_at


@pytest.mark.promise("a rate limit holds when workers are killed")
def test_killed_workers_leave_no_lock_behind(new_server: NewServer) -> None:
    """20 times kill -9 amid a flood: the next request is answered within a second, the limit holds.

    Without a token every request is 401 while the bucket isn't empty, and else 429.
    """
    server = new_server(**DEFAULTS).start()
    started_at = time.monotonic()
    waits = []
    with traffic([partial(post_nothing, server)] * 4) as statuses:
        for _ in range(KILLS):
            threading.Event().wait(random.uniform(0.4, 0.7))
            kill_process(random.choice(server.worker_pids()))
            waits.append(seconds_until_answered(server))
            assert waits[-1] < 1
    elapsed = time.monotonic() - started_at
    seen = Counter(statuses)
    print(seen, f"in {elapsed:.1f} s; the longest wait for an answer {max(waits):.3f} s")
    assert seen.keys() == {401, DENIED}
    assert seen[401] <= BURST + elapsed
    # What came back was given out: nobody else took it, apart from the requests of the waits and
    # those whose worker was killed.
    assert seen[401] >= BURST
    assert flood(server, [{}] * REQUESTS).passed <= 2
