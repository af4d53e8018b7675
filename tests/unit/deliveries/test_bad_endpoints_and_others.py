"""What failing and slow endpoints get, and what they leave for others."""

from collections import Counter
from itertools import pairwise

import pytest
from support.dispatching import Rig, endpoint, outcome

from app.deliveries.outcome import Reason
from app.storage.delivery import State

BREAKING = [Reason.CONNECTION_FAILED, Reason.TIMEOUT, Reason.RATE_LIMITED, Reason.SERVER_ERROR]
HANGING = 10


def attempts_begun(rig: Rig, seconds: float, reason: Reason | None) -> list[float]:
    """Return when requests began within that time, if each ends at once and in the same way."""
    began = []
    end = rig.timer.now + seconds
    while rig.timer.now < end:
        before = len(rig.workers.begun)
        rig.run(0.02)
        began += [rig.timer.now] * (len(rig.workers.begun) - before)
        rig.end_all(reason)
    return began


@pytest.mark.parametrize("reason", BREAKING)
def test_a_broken_endpoint_gets_probes_only(reason: Reason) -> None:
    """After five failures, one after 30 seconds, 60, 120, 240, then every 5 minutes."""
    rig = Rig(endpoint(concurrency=1))
    rig.post(100)
    began = attempts_begun(rig, 1500, reason)
    assert len([each for each in began if each < began[0] + 10]) == 5
    waits = [later - earlier for earlier, later in pairwise(began[4:])]
    assert waits == pytest.approx([30, 60, 120, 240, 300, 300, 300], abs=0.5)


def test_what_waits_behind_a_breaker_spends_no_attempts() -> None:
    """An outage costs few deliveries one attempt each, and most of them none."""
    rig = Rig(endpoint())
    rig.post(100)
    attempts_begun(rig, 1000, Reason.CONNECTION_FAILED)
    attempts = Counter(each.attempts for each in rig.deliveries())
    assert attempts[0] > 80
    assert max(attempts) <= 2
    assert rig.states() == {State.PENDING: 100}


@pytest.mark.parametrize("reason", [Reason.REFUSED, Reason.REDIRECT])
def test_an_endpoint_that_refuses_messages_is_not_broken(reason: Reason) -> None:
    """4xx and 3xx are about the message or the configuration: each message gets its attempt."""
    rig = Rig(endpoint(concurrency=1))
    rig.post(50)
    attempts_begun(rig, 4, reason)
    assert [each.attempts for each in rig.deliveries()] == [1] * 50


def test_no_herd_after_an_outage() -> None:
    """With thousands waiting, requests under way grow from 1 to 2, 4 and 8."""
    rig = Rig(endpoint())
    rig.post(3000)
    attempts_begun(rig, 120, Reason.CONNECTION_FAILED)
    rig.run(200)
    at_once = []
    for _ in range(30):
        at_once.append(len(rig.workers.under_way))
        rig.end_all()
        rig.run(0.02)
    assert at_once[0] == 1
    assert at_once == sorted(at_once)
    assert sorted(set(at_once)) == [1, 2, 4, 8]


def test_what_is_claimed_when_it_breaks_is_released() -> None:
    """Another process may have a better way to it; and nothing has been spent."""
    rig = Rig(endpoint())
    for _ in range(20):
        rig.post()
        rig.run(0.1)
        rig.end_all()
    rig.post(60)
    rig.run(0.1)
    rig.end_all(Reason.SERVER_ERROR)
    rig.run(0.1)
    assert rig.workers.under_way == []
    now = rig.clock.now
    left = rig.queue.claim("one", 64, now, now, replays=False, in_order=False)
    assert len(left) == 52
    assert {each.delivery.attempts for each in left} == {0}


def names(count: int) -> list[str]:
    """Return the names of endpoints."""
    return [f"hangs{number}" for number in range(count)]


def rig_with_hanging(threads: int = 32) -> Rig:
    """Return a rig whose endpoints but "one" never answer, with mail for all of those."""
    rig = Rig(endpoint(), *map(endpoint, names(HANGING)), threads=threads)
    for name in names(HANGING):
        rig.post(50, to=name)
    return rig


def test_hanging_endpoints_leave_threads_for_a_healthy_one() -> None:
    """From the first moment on, when nothing is known of any, and while they time out."""
    rig = rig_with_hanging()
    rig.run(1)
    assert len(rig.workers.under_way) <= 30
    delays = []
    for _ in range(300):
        rig.post()
        posted_at = rig.timer.now
        rig.run(0.04)
        [request] = rig.workers.of("one")
        delays.append(request.began - posted_at)
        rig.workers.end(request, outcome(None))
        for hanging in list(rig.workers.under_way):
            if rig.timer.now - hanging.began > 10:
                rig.workers.end(hanging, outcome(Reason.TIMEOUT), 10)
    assert max(delays) < 0.1


def test_slow_endpoints_share_a_quarter() -> None:
    """Once it is known that they hang, 8 of 32 threads are theirs altogether."""
    rig = rig_with_hanging()
    rig.run(1)
    most = 0
    for _ in range(400):
        rig.run(0.1)
        for request in list(rig.workers.under_way):
            if rig.timer.now - request.began > 10:
                rig.workers.end(request, outcome(Reason.TIMEOUT), 10)
        if rig.timer.now > 1000 + 15:
            most = max(most, len(rig.workers.under_way))
    assert 0 < most <= 8
    assert {each.lane.name for each in rig.workers.begun} == set(names(HANGING))


def test_a_slow_endpoint_alone_gets_its_quarter_too() -> None:
    """It is slow, not forbidden: requests of 2 seconds go on, 2 of 8 threads at a time."""
    rig = Rig(endpoint(concurrency=8), threads=8)
    rig.post(100)
    for _ in range(10):
        rig.run(2)
        rig.end_all(seconds=2)
    assert 20 <= len(rig.workers.begun) <= 30
    assert rig.states()[State.DELIVERED] > 10


def test_retries_take_a_quarter_and_first_attempts_pass_them() -> None:
    """While many are tried again, new mail for the same endpoint is sent."""
    rig = Rig(endpoint(concurrency=32))
    rig.post(100)
    attempts_begun(rig, 3, Reason.REFUSED)
    rig.run(2.4)
    retries = list(rig.workers.under_way)
    assert len(retries) == 8
    assert all(each.is_retry for each in retries)
    rig.post(5)
    rig.run(0.4)
    new = [each for each in rig.workers.under_way if not each.is_retry]
    assert len(new) == 5


def test_slow_endpoints_do_not_keep_a_busy_one_from_its_retries() -> None:
    """Three with a backlog and answers after 2 s fill the quarter; its own mail keeps it busy."""
    rig = Rig(endpoint(), *map(endpoint, names(3)), threads=8)
    rig.post(4)
    attempts_begun(rig, 1, Reason.REFUSED)
    for name in names(3):
        rig.post(50, to=name)
    retried = 0
    for _ in range(800):
        rig.post()
        rig.run(0.02)
        for request in list(rig.workers.under_way):
            seconds = rig.timer.now - request.began
            if seconds >= (0.04 if request.lane.name == "one" else 2) - 0.001:
                rig.workers.end(request, outcome(None), seconds)
                retried += request.is_retry
    assert retried == 4


def test_everything_is_tried_again_all_the_same() -> None:
    """Retries that had to wait for a thread come to their turn."""
    rig = Rig(endpoint(concurrency=32))
    rig.post(100)
    attempts_begun(rig, 3, Reason.REFUSED)
    attempts_begun(rig, 120, None)
    assert rig.states() == {State.DELIVERED: 100}


def test_threads_are_shared_alike() -> None:
    """Two endpoints with much mail have as many requests under way as each other."""
    rig = Rig(endpoint("one", concurrency=32), endpoint("two", concurrency=32), threads=8)
    rig.post(100, to="one")
    rig.run(0.1)
    rig.post(100, to="two")
    for _ in range(20):
        rig.run(0.02)
        rig.workers.end(rig.workers.under_way[0], outcome(None))
    rig.run(0.02)
    assert {name: len(rig.workers.of(name)) for name in ("one", "two")} == {"one": 4, "two": 4}


def test_more_endpoints_than_threads_all_get_turns() -> None:
    """One after the other, though each could use all of them."""
    rig = Rig(*map(endpoint, names(9)), threads=4)
    for name in names(9):
        rig.post(100, to=name)
    attempts_begun(rig, 1, None)
    begun = Counter(each.lane.name for each in rig.workers.begun)
    assert sum(begun.values()) > 150
    assert min(begun[name] for name in names(9)) > 12
