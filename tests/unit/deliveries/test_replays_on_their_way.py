import pytest
from support.dispatching import HeldWorkers, Rig, endpoint

from app.deliveries.outcome import Reason
from app.deliveries.replay import ReplayFeed
from app.storage.delivery import Replay, State


def delivered(count: int, **settings: bool) -> Rig:
    """Return a rig that has delivered `count` messages."""
    rig = Rig(endpoint("one", **settings), endpoint("new"))
    rig.post(count)
    serve(rig, 3)
    assert rig.states() == {State.DELIVERED: count}
    rig.workers.begun.clear()
    return rig


def serve(rig: Rig, seconds: float) -> None:
    """Let time pass in which each request ends well at once."""
    end = rig.timer.now + seconds
    while rig.timer.now < end:
        rig.run(0.02)
        rig.end_all()


def test_a_replay_sends_everything_again() -> None:
    """All that was stored, in a few seconds, and once."""
    rig = delivered(500)
    rig.queue.add_replay(Replay("one"))
    serve(rig, 10)
    assert rig.states() == {State.DELIVERED: 1000}
    assert rig.queue.replays() == []
    serve(rig, 10)
    assert len(rig.workers.begun) == 500


def test_a_replay_to_an_endpoint_that_was_added_today() -> None:
    """It gets what came before it was there."""
    rig = delivered(30)
    rig.queue.add_replay(Replay("new"))
    serve(rig, 5)
    assert rig.states("new") == {State.DELIVERED: 30}


def test_a_rate_is_kept() -> None:
    """So many a second, whole or not, and none that was saved up."""
    for rate in (0.5, 4, 15):
        rig = delivered(200)
        serve(rig, 30)
        rig.queue.add_replay(Replay("one", rate=rate))
        serve(rig, 10)
        assert len(rig.workers.begun) == pytest.approx(10 * rate, rel=0.15, abs=1)
        rig.queue.pause("one", "for a while")
        serve(rig, 60)
        rig.queue.resume("one")
        before = len(rig.workers.begun)
        serve(rig, 2)
        assert len(rig.workers.begun) - before <= 3 * rate + 2


@pytest.mark.parametrize("hundredths", range(1, 101))
def test_every_slow_rate_is_kept(hundredths: int) -> None:
    """Ten messages take as long as the rate says, whatever the rounding errors of its fractions."""
    rig = Rig(endpoint())
    rig.post(20, to="other")
    rate = hundredths / 100
    rig.queue.add_replay(Replay("one", rate=rate))
    feed = ReplayFeed(rig.queue, rig.clock, rig.timer)
    end = rig.timer.now + 10 / rate
    while rig.timer.now < end:
        feed.feed({"one"})
        rig.pass_time(0.12)  # feeds are never exactly on time
    assert len(rig.deliveries()) in {9, 10}


def test_live_mail_goes_first() -> None:
    """With a replay on its way, a message that arrives is among the next to be sent."""
    rig = delivered(600)
    rig.queue.add_replay(Replay("one"))
    while len(rig.workers.begun) < 100:
        serve(rig, 0.02)
    rig.post()
    before = len(rig.workers.begun)
    assert before < 200
    live = rig.deliveries()[-1].number
    for _ in range(10):
        rig.run(0.02)
        rig.end_all()
    later = [each.claim.delivery.number for each in rig.workers.begun[before:]]
    assert live in later
    assert later.index(live) <= 24


def test_a_replay_makes_few_deliveries_in_advance() -> None:
    """While they can't be sent, no more are made: one that is given up leaves few behind."""
    rig = delivered(1000)
    rig.queue.add_replay(Replay("one"))
    rig.run(20)
    assert len(rig.workers.under_way) == 8
    made = [each for each in rig.deliveries() if each.is_replay]
    assert len(made) <= 400


def test_a_broken_endpoint_gets_no_replay() -> None:
    """Until it has recovered; then all of it comes."""
    rig = delivered(100)
    rig.post(10)
    while rig.timer.now < 1000 + 20:
        rig.run(0.02)
        rig.end_all(Reason.SERVER_ERROR)
    rig.queue.add_replay(Replay("one"))
    rig.run(10)
    assert not [each for each in rig.deliveries() if each.is_replay]
    serve(rig, 60)
    assert rig.states()[State.PENDING] == 0
    assert rig.states()[State.DELIVERED] >= 209


def test_a_replay_survives_a_restart() -> None:
    """Another process goes on where the first has ended; nothing is left out."""
    rig = delivered(500)
    rig.queue.add_replay(Replay("one"))
    while len(rig.workers.begun) < 100:
        serve(rig, 0.02)
    assert len(rig.workers.begun) < 200
    workers = HeldWorkers(rig.clock)
    rig.dispatcher, rig.workers = rig.another(workers), workers  # the first was killed
    serve(rig, 100)
    again = {each.message_id for each in rig.deliveries() if each.is_replay}
    assert len(again) == 500
    assert rig.states()[State.PENDING] == 0
