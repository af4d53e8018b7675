"""A thread whose request has succeeded begins the next one without waiting for the dispatcher."""

import pytest
from support.dispatching import Rig, endpoint, outcome

from app.deliveries.outcome import Reason
from app.storage.delivery import State


def busy(rig: Rig, count: int = 100) -> Rig:
    """Let messages wait for each endpoint, and bring their median answer to 10 ms."""
    for each in rig.endpoints:
        rig.post(count, each.name)
    for _ in range(3):
        rig.run(0.02)
        rig.end_all()
    rig.run(0.02)
    return rig


def test_the_next_begins_at_once() -> None:
    """The endpoint has as many requests at once as it may, with no round of the dispatcher."""
    rig = busy(Rig(endpoint(concurrency=8)))
    begun = list(rig.workers.begun)
    for request in list(rig.workers.under_way):
        rig.workers.end(request, outcome(None))
        assert len(rig.workers.under_way) == 8
    assert len(rig.workers.begun) == len(begun) + 8
    rig.run(2.0)
    while rig.end_all():
        rig.run(0.02)
    rig.run()
    assert rig.states() == {State.DELIVERED: 100}
    numbers = [each.claim.delivery.number for each in rig.workers.begun]
    assert len(numbers) == len(set(numbers)) == 100


@pytest.mark.parametrize("reason", [Reason.TIMEOUT, Reason.REFUSED, Reason.RATE_LIMITED])
def test_none_after_a_failure(reason: Reason) -> None:
    """The dispatcher decides first whether the endpoint gets more."""
    rig = busy(Rig(endpoint(concurrency=8)))
    rig.end_all(reason)
    assert not rig.workers.under_way


def test_an_open_breaker_withdraws_them() -> None:
    """A request that succeeds late begins nothing after the endpoint has failed five times."""
    rig = busy(Rig(endpoint(concurrency=8)))
    *failing, late = rig.workers.under_way
    for request in failing:
        rig.workers.end(request, outcome(Reason.SERVER_ERROR))
    rig.run(0.02)
    rig.workers.end(late, outcome(None))
    assert not rig.workers.under_way


def test_a_stop_withdraws_them() -> None:
    """Requests in flight are completed, the rest is pending, and none is claimed."""
    rig = busy(Rig(endpoint(concurrency=8)))
    rig.dispatcher.stop()
    rig.run(0.02)
    assert rig.end_all() == 8
    assert not rig.workers.under_way
    rig.run()
    assert rig.dispatcher.is_done()
    delivered = len(rig.workers.begun)
    assert rig.states() == {State.DELIVERED: delivered, State.PENDING: 100 - delivered}
    claims = rig.queue.claim("one", 64, rig.clock.now, rig.clock.now, replays=False, in_order=False)
    assert len(claims) == 64


def test_a_pause_withdraws_them() -> None:
    """Half a second later, nothing more begins."""
    rig = busy(Rig(endpoint(concurrency=8)))
    rig.queue.pause("one", "user")
    rig.run(0.6)
    assert rig.end_all() == 8
    assert not rig.workers.under_way


def test_with_few_threads_endpoints_take_turns() -> None:
    """No endpoint keeps a thread that another one waits for."""
    rig = busy(Rig(endpoint("one"), endpoint("two"), threads=4))
    for _ in range(10):
        rig.end_all()
        rig.run(0.02)
        assert (len(rig.workers.of("one")), len(rig.workers.of("two"))) == (2, 2)


def test_a_slow_endpoint_gets_a_thread_of_a_busy_one() -> None:
    """None is reserved for it, and a fast endpoint that could use all of them doesn't keep them."""
    rig = Rig(endpoint("one", concurrency=8), endpoint("two"), threads=8)
    rig.dispatcher.lanes["two"].latency.add(2.0)
    busy(rig)
    assert len(rig.workers.under_way) == 8
    for _ in range(3):
        rig.end_all(seconds=0.01)
        rig.run(0.02)
        assert len(rig.workers.of("two")) == 2


def test_in_order_none_begins_by_itself() -> None:
    """The next one is claimed when the one before is delivered."""
    rig = busy(Rig(endpoint(ordered=True)))
    assert rig.end_all() == 1
    assert not rig.workers.under_way


def test_retries_and_slow_endpoints_wait_for_the_dispatcher() -> None:
    """They share a quarter of the threads, which it counts."""
    rig = busy(Rig(endpoint(concurrency=8)))
    rig.end_all(seconds=2)
    rig.run(0.02)
    rig.end_all(seconds=2)
    assert not rig.workers.under_way
