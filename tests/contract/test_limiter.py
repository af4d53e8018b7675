"""What every Limiter does; each test runs against each of them."""

import math
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.redis_server import RedisServer

from app.ratelimit import redis_connections
from app.ratelimit.limit import Limit
from app.ratelimit.redis import RedisLimiter
from app.ratelimit.shared_memory import SharedLimiter
from app.ratelimit.token_bucket import Decision, Limiter, TokenBucket, token_bucket
from app.state.bucket_table import BucketTable
from app.state.outage import Outage

BURST = 20
HUGE_BURST = 1_000_000
PROCESSES = 3
THREADS = 2
CLIENT = "192.0.2.1"

# Nothing comes back while a test runs: a token a minute.
SLOW = token_bucket(1, BURST)
SLOW_AND_HUGE = token_bucket(1, HUGE_BURST)

MakeLimiter = Callable[[TokenBucket], Limiter]
fork = multiprocessing.get_context("fork")


class NoFallback:
    """Shows that a test which is about Redis never got there."""

    def take(self, client: str) -> Decision:
        raise AssertionError(f"Redis didn't answer for {client}")

    def give_back(self, client: str) -> None:
        raise AssertionError(f"Redis didn't answer for {client}")


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=[SharedLimiter, pytest.param(RedisLimiter, marks=pytest.mark.server)])
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> MakeLimiter:
    """Return a function that makes one more limiter of the same buckets."""
    if request.param is SharedLimiter:
        table = BucketTable()
        return lambda bucket: SharedLimiter(table, bucket)
    server = request.getfixturevalue("redis_server")
    with server.client() as client:
        client.flushall()
    monkeypatch.setattr(redis_connections, "TIMEOUT_SECONDS", 10)  # a busy machine isn't an outage
    return lambda bucket: RedisLimiter(server.url, bucket, NoFallback(), Outage())


def passing(limiter: Limiter, attempts: int, client: str = CLIENT) -> int:
    """Return how many of `attempts` requests of `client` pass."""
    return sum(limiter.take(client).allowed for _ in range(attempts))


def passing_in_threads(limiter: Limiter, attempts: int, threads: int = THREADS) -> int:
    """Return how many pass when each of `threads` makes `attempts` at the same time."""
    barrier = threading.Barrier(threads)

    def hammer(_: int) -> int:
        barrier.wait()
        return passing(limiter, attempts)

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(hammer, range(threads)))


def passing_in_processes(make: MakeLimiter, bucket: TokenBucket, attempts: int) -> int:
    """Return how many pass when PROCESSES with THREADS each make `attempts` at the same time."""
    barrier, counts = fork.Barrier(PROCESSES), fork.RawArray("Q", PROCESSES)

    def work(number: int) -> None:
        limiter = make(bucket)
        barrier.wait()
        counts[number] = passing_in_threads(limiter, attempts)

    workers = [fork.Process(target=work, args=(number,)) for number in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * PROCESSES
    return sum(list(counts))


def test_the_burst_passes_and_then_nothing(make: MakeLimiter) -> None:
    """The first BURST pass, each saying how many are left; the next waits for one interval."""
    limiter = make(SLOW)
    decisions = [limiter.take(CLIENT) for _ in range(BURST + 1)]
    assert [each.allowed for each in decisions] == [True] * BURST + [False]
    assert [each.remaining for each in decisions] == [*range(BURST - 1, -1, -1), 0]
    assert {each.retry_after_us for each in decisions[:BURST]} == {0}
    seconds = decisions[-1].retry_after_us / 1_000_000
    assert 50 < seconds <= 60
    assert 50 < decisions[0].full_after_us / 1_000_000 <= 60
    assert decisions[-1].full_after_us == SLOW.capacity_us - 60_000_000 + (
        decisions[-1].retry_after_us
    )


def test_each_client_has_its_own_bucket(make: MakeLimiter) -> None:
    """Who has used up everything takes nothing from the others."""
    limiter = make(SLOW)
    assert passing(limiter, BURST + 5, "192.0.2.1") == BURST
    assert passing(limiter, BURST + 5, "2001:db8::/64") == BURST
    assert passing(limiter, BURST + 5, "192.0.2.11") == BURST


def test_a_token_that_is_given_back_can_be_taken_again(make: MakeLimiter) -> None:
    """By any worker, and a full bucket gets no fuller."""
    limiter, other = make(SLOW), make(SLOW)
    limiter.give_back(CLIENT)
    assert passing(limiter, BURST + 1) == BURST
    limiter.give_back(CLIENT)
    assert passing(other, 2) == 1
    for _ in range(BURST + 5):
        other.give_back(CLIENT)
    assert passing(limiter, BURST + 5) == BURST


def test_each_limit_has_its_own_buckets(make: MakeLimiter) -> None:
    """A client that has used up one limit still has all of another one in the same limiter."""
    limit, other = Limit(make(SLOW), 1, BURST), Limit(make(SLOW), 1, BURST, "api:")
    assert sum(limit.take(CLIENT).allowed for _ in range(BURST + 5)) == BURST
    assert sum(other.take(CLIENT).allowed for _ in range(BURST + 5)) == BURST
    assert not limit.take(CLIENT).allowed


def test_two_limiters_share_the_buckets(make: MakeLimiter) -> None:
    """What one worker gave away the other doesn't give again."""
    assert passing(make(SLOW), BURST - 3) == BURST - 3
    assert passing(make(SLOW), BURST) == 3


def test_waiting_as_long_as_told_is_enough(make: MakeLimiter) -> None:
    """A request that comes at once after retry_after_us passes, on the limiter's real clock."""
    limiter = make(token_bucket(600, 2))
    while (decision := limiter.take(CLIENT)).allowed:
        pass
    assert decision.retry_after_us <= 100_000
    threading.Event().wait(decision.retry_after_us / 1_000_000)
    assert limiter.take(CLIENT).allowed


def test_threads_get_the_burst_between_them(make: MakeLimiter) -> None:
    """Sixteen threads at one bucket: exactly BURST requests pass."""
    assert passing_in_threads(make(SLOW), BURST, threads=16) == BURST


def test_processes_get_the_burst_between_them(make: MakeLimiter) -> None:
    """Forked processes with several threads each at one bucket: exactly BURST requests pass."""
    assert passing_in_processes(make, SLOW, BURST) == BURST


def test_no_hit_is_lost(make: MakeLimiter, request: pytest.FixtureRequest) -> None:
    """The bucket has moved by exactly the number of hits of all threads of all processes."""
    is_shared = isinstance(make(SLOW), SharedLimiter)
    each = 8_000 if is_shared else 400
    hits = PROCESSES * THREADS * each
    assert passing_in_processes(make, SLOW_AND_HUGE, each) == hits
    backlog = make(SLOW_AND_HUGE).take(CLIENT).full_after_us
    # Less than one token has come back meanwhile.
    assert math.ceil(backlog / SLOW_AND_HUGE.interval_us) == hits + 1


@pytest.mark.server
def test_a_bucket_in_the_future_empties_no_further(redis_server: RedisServer) -> None:
    """After the server's clock was set back an hour, a client waits one interval and no longer."""
    limiter = RedisLimiter(redis_server.url, token_bucket(600, 5), NoFallback(), Outage())
    with redis_server.client() as client:
        seconds, microseconds = client.time()
        client.set("gomail:bucket:back", seconds * 1_000_000 + microseconds + 3_600_000_000)
    decision = limiter.take("back")
    assert (decision.allowed, decision.retry_after_us) == (False, 100_000)
    threading.Event().wait(decision.retry_after_us / 1_000_000)
    assert limiter.take("back").allowed


@pytest.mark.server
def test_redis_forgets_a_bucket_that_is_full(redis_server: RedisServer) -> None:
    """A key lives as long as its bucket isn't full, so the server's memory is bounded too."""
    limiter = RedisLimiter(redis_server.url, token_bucket(60, 10), NoFallback(), Outage())
    with redis_server.client() as client:
        passing(limiter, 3, "short")
        assert 2_000 < client.pttl("gomail:bucket:short") <= 3_000
        passing(limiter, 30, "long")
        assert 9_000 < client.pttl("gomail:bucket:long") <= 10_000
