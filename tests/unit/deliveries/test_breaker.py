import pytest
from support.clock import Clock

from app.deliveries.breaker import Breaker, BreakerState

FAILURES = 5


@pytest.fixture
def timer() -> Clock[float]:
    """Return a monotonic clock."""
    return Clock(1000.0)


@pytest.fixture
def breaker(timer: Clock[float]) -> Breaker:
    """Return the breaker of an endpoint with a concurrency of 8, which has used all of it."""
    made = Breaker(8, timer)
    for _ in range(8):
        made.begin()
        made.succeed()
    return made


def fail(breaker: Breaker, times: int = FAILURES) -> None:
    """Let requests fail one after the other."""
    for _ in range(times):
        breaker.fail(breaker.begin())


def test_five_failures_in_a_row_open_it(breaker: Breaker) -> None:
    """Four don't, and a success in between begins the row anew."""
    fail(breaker, 4)
    breaker.begin()
    breaker.succeed()
    fail(breaker, 4)
    assert (breaker.state, breaker.limit()) == (BreakerState.CLOSED, 8)
    fail(breaker, 1)
    assert (breaker.state, breaker.limit()) == (BreakerState.OPEN, 0)


def test_one_probe_at_a_time_later_and_later(breaker: Breaker, timer: Clock[float]) -> None:
    """The first after 30 seconds; each that fails doubles the wait, up to 5 minutes."""
    fail(breaker)
    for wait in (30, 60, 120, 240, 300, 300):
        timer.now += wait - 0.1
        assert breaker.limit() == 0
        timer.now += 0.1
        assert breaker.limit() == 1
        probe = breaker.begin()
        assert breaker.limit() == 0
        timer.now += 20  # while it is under way
        assert breaker.limit() == 0
        breaker.fail(probe)
    assert breaker.state is BreakerState.OPEN


def test_recovery_is_slow(breaker: Breaker, timer: Clock[float]) -> None:
    """After a probe has succeeded, 1 at a time, then 2, 4, 8, each after as many successes."""
    fail(breaker)
    timer.now += 30
    breaker.begin()
    breaker.succeed()
    limits = []
    for _ in range(12):
        limits.append(breaker.limit())
        breaker.begin()
        breaker.succeed()
    assert limits == [1, 2, 2, 4, 4, 4, 4, 8, 8, 8, 8, 8]


def test_a_start_is_slow(timer: Clock[float]) -> None:
    """As a recovery is: it may be one that was interrupted."""
    breaker = Breaker(8, timer)
    limits = []
    for _ in range(8):
        limits.append(breaker.limit())
        breaker.begin()
        breaker.succeed()
    assert limits == [1, 2, 2, 4, 4, 4, 4, 8]


def test_an_open_one_is_taken_over_with_a_probe(timer: Clock[float]) -> None:
    """At once, and only one; the next is later."""
    breaker = Breaker(8, timer)
    breaker.begin_open()
    assert (breaker.state, breaker.limit()) == (BreakerState.OPEN, 1)
    fail(breaker, 1)
    timer.now += 30
    assert breaker.limit() == 0
    timer.now += 30
    assert breaker.limit() == 1


def test_recovery_ends_at_the_concurrency(timer: Clock[float]) -> None:
    """Also when that is no power of two."""
    breaker = Breaker(6, timer)
    fail(breaker)
    timer.now += 30
    for _ in range(20):
        breaker.begin()
        breaker.succeed()
    assert breaker.limit() == 6


def test_a_relapse_begins_with_the_first_wait(breaker: Breaker, timer: Clock[float]) -> None:
    """Once it was closed, the waits are short again."""
    fail(breaker)
    for wait in (30, 60):
        timer.now += wait
        fail(breaker, 1)
    timer.now += 120
    breaker.begin()
    breaker.succeed()
    fail(breaker)
    timer.now += 30
    assert breaker.limit() == 1


def test_stragglers_do_not_count_as_probes(breaker: Breaker, timer: Clock[float]) -> None:
    """What was under way when it opened fails later, and puts off no probe."""
    stragglers = [breaker.begin() for _ in range(3)]
    fail(breaker)
    timer.now += 29
    for permit in stragglers:
        breaker.fail(permit)
    timer.now += 1
    assert breaker.limit() == 1
    probe = breaker.begin()
    breaker.fail(stragglers[0])
    assert breaker.limit() == 0
    breaker.fail(probe)
    timer.now += 60
    assert breaker.limit() == 1


def test_a_straggler_that_succeeds_closes_it(breaker: Breaker) -> None:
    """The endpoint answers: there is nothing to wait for."""
    breaker.begin()
    fail(breaker)
    breaker.succeed()
    assert (breaker.state, breaker.limit()) == (BreakerState.CLOSED, 1)


def test_a_probe_that_was_never_sent_is_sent_later(breaker: Breaker, timer: Clock[float]) -> None:
    """As when the message can't be read: nothing is known of the endpoint."""
    fail(breaker)
    timer.now += 30
    breaker.give_back(breaker.begin())
    assert (breaker.state, breaker.limit()) == (BreakerState.OPEN, 1)
