from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from support.dispatching import HeldWorkers, Rig, endpoint, outcome

from app.deliveries.leases import LEASE
from app.deliveries.outcome import Reason
from app.deliveries.schedule import MOST_ATTEMPTS, MOST_RETRY_AFTER, next_delay
from app.deliveries.verdict import released
from app.errors import MessageCorrupt, MessageNotFound, MessageUnreadable, StorageUnavailable
from app.storage.delivery import Result, State
from app.storage.delivery_queue import LONGEST_DELAY, LONGEST_LEASE


def test_what_is_stored_is_sent_once_and_kept() -> None:
    """A message that arrives is sent at the next look, and its delivery is delivered soon after."""
    rig = Rig(endpoint())
    rig.run()
    rig.post()
    rig.run(0.02)
    [request] = rig.workers.under_way
    assert request.claim.delivery.attempts == 0
    rig.end_all()
    rig.run(0.1)
    [delivery] = rig.deliveries()
    assert (delivery.state, delivery.attempts) == (State.DELIVERED, 1)
    rig.run(10)
    assert len(rig.workers.begun) == 1


def test_a_clock_that_is_set_back_holds_nothing_up() -> None:
    """What was received years ahead, or failed then, is sent within seconds."""
    rig = Rig(endpoint())
    rig.post(2)
    rig.run()
    rig.workers.end(rig.workers.under_way[0], outcome(Reason.REFUSED))
    rig.run()
    rig.post()
    rig.clock.now -= timedelta(days=1500)
    rig.run(6)
    assert [each.claim.delivery.number for each in rig.workers.begun] == [1, 2, 1, 3]


def test_the_longest_delay_is_within_the_limit_of_the_queue() -> None:
    """So that no delivery is sent before its time."""
    attempts = range(1, MOST_ATTEMPTS)
    delays = [next_delay(count, 10.0 * MOST_RETRY_AFTER, lambda: 1.0) for count in attempts]
    assert max(each for each in delays if each) < LONGEST_DELAY
    assert LEASE < LONGEST_LEASE


def test_forced_stops_make_nothing_poison() -> None:
    """A process is killed while its endpoint hangs, five times: after a SIGTERM that's no lapse."""
    rig = Rig(endpoint())
    rig.post()
    for _ in range(5):
        rig.run(0.1)
        assert len(rig.workers.under_way) == 1
        rig.dispatcher.stop()
        rig.run(0.1)
        rig.workers.under_way.clear()
        rig.dispatcher = rig.another(rig.workers)
        rig.pass_time(90)
    rig.run(0.1)
    rig.end_all()
    rig.run(0.1)
    assert rig.states() == {State.DELIVERED: 1}


def test_no_more_than_the_concurrency_is_under_way() -> None:
    """The rest follows as requests end, each once."""
    rig = Rig(endpoint(concurrency=3))
    rig.post(10)
    sizes = []
    while rig.states()[State.DELIVERED] < 10:
        rig.run(0.1)
        sizes.append(len(rig.workers.under_way))
        rig.end_all()
    assert max(sizes) == 3
    assert sorted(each.claim.delivery.number for each in rig.workers.begun) == list(range(1, 11))


def test_a_failure_is_tried_again_by_the_schedule() -> None:
    """After 5 seconds, then 30, then 2 minutes; each attempt is kept, with its reason."""
    rig = Rig(endpoint())
    rig.post()
    rig.run()
    for delay in (5, 30, 120):
        rig.end_all(Reason.REFUSED)
        rig.run(0.1)
        [delivery] = rig.deliveries()
        assert delivery.due_at is not None
        assert 0 <= delay - (delivery.due_at - rig.clock.now).total_seconds() < 0.2
        assert (delivery.state, delivery.reason) == (State.PENDING, "refused")
        rig.run(delay - 0.3)
        assert rig.workers.under_way == []
        rig.run(0.5)
        assert len(rig.workers.under_way) == 1
    assert len(rig.queue.get(1)[1]) == 3


def test_after_fifteen_attempts_it_is_dead() -> None:
    """It isn't tried again, until somebody retries it."""
    rig = Rig(endpoint())
    rig.post()
    for _ in range(15):
        rig.run(0.1)
        assert rig.end_all(Reason.REFUSED) == 1
        rig.run(0.1)
        rig.pass_time(29 * 3600)
    [delivery] = rig.deliveries()
    assert (delivery.state, delivery.reason, delivery.attempts) == (State.DEAD, "exhausted", 15)
    rig.run(1)
    assert rig.workers.under_way == []
    rig.queue.retry([delivery.number], rig.clock.now)
    rig.run(6)
    assert rig.end_all() == 1
    rig.run(0.1)
    assert rig.states() == {State.DELIVERED: 1}


def test_retry_after_is_obeyed() -> None:
    """Of 429: not before the endpoint wants it."""
    rig = Rig(endpoint())
    rig.post()
    rig.run()
    rig.workers.end(rig.workers.under_way[0], outcome(Reason.RATE_LIMITED, retry_after_s=600))
    rig.run(590)
    assert rig.workers.under_way == []
    rig.run(20)
    assert len(rig.workers.under_way) == 1


class Deaf(Rig):
    """A rig whose store fails when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(endpoint())
        self.finished: list[int] = []
        self.fails = False
        finish = self.queue.finish

        def maybe(results: Sequence[Result]) -> int:
            if self.fails:
                raise StorageUnavailable
            self.finished.append(len(results))
            return finish(results)

        monkeypatch.setattr(self.queue, "finish", maybe)


def test_results_are_kept_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of 50 milliseconds in one commit."""
    rig = Deaf(monkeypatch)
    rig.post(8)
    rig.run()
    rig.end_all()
    rig.run(0.1)
    assert rig.finished == [8]


def test_a_store_that_fails_loses_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has ended is kept when it works again, and nothing is sent a second time."""
    rig = Deaf(monkeypatch)
    rig.post(4)
    rig.run()
    rig.fails = True
    rig.end_all()
    for _ in range(5):
        with pytest.raises(StorageUnavailable):
            rig.run(0.1)
    rig.fails = False
    rig.run(0.1)
    assert rig.states() == {State.DELIVERED: 4}
    assert len(rig.workers.begun) == 4


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (MessageNotFound("gone"), State.DISCARDED, "message_deleted"),
        (MessageCorrupt("damaged"), State.DEAD, "message_corrupt"),
    ],
)
def test_what_cannot_be_read_is_not_sent(error: Exception, state: State, reason: str) -> None:
    """It is settled with the reason, and the endpoint isn't blamed."""
    rig = Rig(endpoint())
    rig.post()
    rig.run()
    rig.workers.end(rig.workers.under_way[0], error)
    rig.run(0.1)
    [delivery] = rig.deliveries()
    assert (delivery.state, delivery.reason, delivery.attempts) == (state, reason, 0)


def test_bytes_that_cannot_be_read_now_are_sent_later() -> None:
    """A disk that fails costs no attempt, and people see what is wrong."""
    rig = Rig(endpoint())
    rig.post()
    rig.run()
    rig.workers.end(rig.workers.under_way[0], StorageUnavailable())
    rig.run(1)
    assert rig.deliveries()[0].reason == "message_unreadable"
    rig.run(5)
    [request] = rig.workers.under_way
    assert request.claim.delivery.attempts == 0


def test_a_disk_that_fails_is_tried_more_and_more_rarely() -> None:
    """With thousands due: after 5 seconds, 10, 20, 40, then every minute, until one can be read."""
    rig = Rig(endpoint(concurrency=2))
    rig.post(1000)
    begun = []
    for _ in range(200):
        before = len(rig.workers.begun)
        rig.run(1)
        begun += [rig.timer.now] * (len(rig.workers.begun) > before)
        for request in list(rig.workers.under_way):
            rig.workers.end(request, StorageUnavailable())
    waits = [later - earlier for earlier, later in pairwise(begun)]
    assert waits == pytest.approx([5, 10, 20, 40, 60], abs=2)
    while not rig.workers.under_way:
        rig.run(1)
    for _ in range(20):
        rig.end_all()
        rig.run(0.1)
    assert rig.states()[State.DELIVERED] >= 40


def test_a_message_that_cannot_be_read_does_not_block_others_for_ever() -> None:
    """Its attempts are spent by the schedule; after the last one, the next in order is sent."""
    rig = Rig(endpoint(ordered=True))
    rig.post(2)
    for _ in range(15):
        rig.run(2)
        [request] = rig.workers.under_way
        assert request.claim.delivery.number == 1
        rig.workers.end(request, MessageUnreadable("unreadable"))
        rig.run(0.1)
        rig.pass_time(29 * 3600)
    first, second = rig.deliveries()
    assert (first.state, first.reason, second.attempts) == (State.DEAD, "exhausted", 0)
    assert rig.queue.get(1)[1][-1].error == "unreadable"
    rig.run(2)
    assert rig.end_all() == 1
    rig.run(0.1)
    assert rig.deliveries()[1].state is State.DELIVERED


def test_a_fault_of_gomail_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """With its traceback; the attempt is spent, so that it ends some day."""
    rig = Rig(endpoint())
    rig.post()
    rig.run()
    rig.workers.end(rig.workers.under_way[0], ZeroDivisionError("division"))
    rig.run(0.1)
    [delivery] = rig.deliveries()
    assert (delivery.state, delivery.reason, delivery.attempts) == (
        State.PENDING,
        "internal_error",
        1,
    )
    [record] = [each for each in caplog.records if each.exc_info]
    assert record.levelname == "ERROR"


def test_leases_are_renewed_while_a_request_lasts() -> None:
    """A request of 5 minutes isn't taken over by another process, nor its result refused."""
    rig = Rig(endpoint())
    rig.post()
    rig.run()
    for _ in range(30):
        rig.run(10)
        later = rig.clock.now
        assert not rig.queue.claim("one", 64, later, later, replays=False, in_order=False)
    rig.end_all()
    rig.run(0.1)
    assert rig.states() == {State.DELIVERED: 1}


def test_leases_survive_a_store_that_fails_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A renewal that fails is tried again soon, though the next regular one would be too late."""
    rig = Rig(endpoint())
    rig.post()
    rig.run()
    with monkeypatch.context() as context:
        context.setattr(rig.queue, "renew", unavailable)
        while rig.timer.now < 1000 + 62:
            with suppress(StorageUnavailable):
                rig.run(0.1)
    rig.run(2)
    rig.pass_time(60)
    later = rig.clock.now
    assert not rig.queue.claim("one", 64, later, later, replays=False, in_order=False)


def unavailable(*_: object) -> None:
    """Fail as a store does."""
    raise StorageUnavailable


def test_a_killed_process_is_succeeded_within_90_seconds() -> None:
    """What it had under way is sent again, and so is what it had only claimed."""
    rig = Rig(endpoint())
    rig.post(20)
    rig.run(0.1)
    workers = HeldWorkers(rig.clock)
    rig.dispatcher, rig.workers = rig.another(workers), workers  # nobody looks after the first one
    for _ in range(9):
        rig.run(10)
        rig.end_all()
    rig.run(1)
    assert rig.states() == {State.DELIVERED: 20}


def test_two_processes_share_without_repeats() -> None:
    """What one has claimed the other doesn't send."""
    rig = Rig(endpoint(concurrency=4))
    rig.post(40)
    first, second = rig.dispatcher, rig.another(other := HeldWorkers(rig.clock))
    with rig.store.watch() as version:
        while rig.states()[State.DELIVERED] < 40:
            for dispatcher, workers in ((first, rig.workers), (second, other)):
                rig.pass_time(0.05)
                dispatcher.round(version, 0)
                for request in list(workers.under_way):
                    workers.end(request, outcome(None))
    numbers = [each.claim.delivery.number for each in rig.workers.begun + other.begun]
    assert sorted(numbers) == list(range(1, 41))
    assert other.begun
    assert rig.workers.begun


def test_what_is_under_way_is_not_sent_beside_itself() -> None:
    """After a failure of the store, another process may have claimed it, and released it again."""
    rig = Rig(endpoint())
    rig.post()
    rig.run()
    rig.pass_time(76)
    later = rig.clock.now + timedelta(seconds=60)
    claims = rig.queue.claim("one", 1, rig.clock.now, later, replays=False, in_order=False)
    assert rig.queue.finish([released(each) for each in claims]) == 1
    rig.run(6)
    assert len(rig.workers.begun) == 1
    rig.end_all()
    rig.run(0.1)
    assert rig.states() == {State.DELIVERED: 1}


def test_gone_pauses_the_endpoint() -> None:
    """After 410 nothing is sent by any process, until it is resumed; then what is due comes."""
    rig = Rig(endpoint(concurrency=1))
    rig.post(3)
    rig.run()
    rig.end_all(Reason.GONE)
    rig.run(0.1)
    assert rig.queue.paused() == {"one": "gone"}
    workers = HeldWorkers(rig.clock)
    other = rig.another(workers)
    rig.run(600)
    with rig.store.watch() as version:
        other.round(version, 0)
    assert (rig.workers.under_way, workers.under_way) == ([], [])
    assert rig.states() == {State.PENDING: 3}
    rig.queue.resume("one")
    for _ in range(3):
        rig.run(1)
        rig.end_all()
    rig.run(1)
    assert rig.states() == {State.DELIVERED: 3}


def test_a_pause_is_obeyed_within_a_second() -> None:
    """Whoever has paused it; what is under way ends, what was claimed is released."""
    rig = Rig(endpoint(concurrency=2))
    for _ in range(20):  # so that it claims ahead
        rig.post()
        rig.run(0.1)
        rig.end_all()
    rig.post(30)
    rig.run(0.1)
    rig.queue.pause("one", "by hand")
    rig.run(1)
    rig.end_all()
    rig.run(1)
    assert rig.workers.under_way == []
    now = rig.clock.now
    left = rig.queue.claim("one", 64, now, now, replays=False, in_order=False)
    assert len(left) == 28


def test_other_endpoints_keep_their_deliveries() -> None:
    """What is for an endpoint that isn't configured any more is left alone."""
    rig = Rig(endpoint("one"))
    rig.post(to="other")
    rig.run(5)
    assert rig.workers.begun == []
    assert rig.states("other") == {State.PENDING: 1}


def test_in_order_one_at_a_time() -> None:
    """The next is sent when the one before is delivered, in the order of arrival."""
    rig = Rig(endpoint(ordered=True))
    rig.post(5)
    rig.run()
    assert rig.end_all(Reason.SERVER_ERROR) == 1
    rig.run(4)
    assert rig.workers.under_way == []
    while rig.states()[State.DELIVERED] < 5:
        rig.run(2)
        assert rig.end_all() <= 1
    assert [each.claim.delivery.number for each in rig.workers.begun] == [1, 1, 2, 3, 4, 5]


def test_in_order_without_pauses() -> None:
    """The next is claimed at once, not at the next look: ten take ten rounds."""
    rig = Rig(endpoint(ordered=True))
    rig.post(10)
    rig.run()
    with rig.store.watch() as version:
        for _ in range(10):
            assert rig.end_all() == 1
            rig.dispatcher.round(version, 0)
    rig.run(0.1)
    assert rig.states() == {State.DELIVERED: 10}


def count_claims(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return a function that tells how often a claim was asked for."""
    claim, calls = rig.queue.claim, []

    def counted(*arguments: object, **named: object) -> object:
        calls.append(arguments)
        return claim(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(rig.queue, "claim", counted)
    return lambda: len(calls)


def test_nothing_is_asked_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle minute costs no claim; nor does what is due when it can't be sent."""
    rig = Rig(endpoint(concurrency=1))
    rig.run()
    claims = count_claims(rig, monkeypatch)
    rig.run(60)
    assert claims() == 0
    rig.post(5)
    rig.run(60)
    assert claims() < 5


def test_what_is_out_of_order_is_asked_for_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first waits for its retry: about once a second, though others are due."""
    rig = Rig(endpoint(ordered=True))
    rig.post(5)
    rig.run()
    rig.end_all(Reason.REFUSED)
    rig.run(5.2)
    rig.end_all(Reason.REFUSED)
    claims = count_claims(rig, monkeypatch)
    rig.run(29)
    assert claims() < 80
    rig.run(2)
    assert len(rig.workers.under_way) == 1


def test_a_drain_ends_what_is_under_way_and_releases_the_rest() -> None:
    """No new request; results are kept; another process can go on at once."""
    rig = Rig(endpoint(concurrency=2))
    for _ in range(20):
        rig.post()
        rig.run(0.1)
        rig.end_all()
    rig.run(0.1)
    rig.post(30)
    rig.run(0.1)
    rig.dispatcher.stop()
    rig.run(1)
    assert not rig.dispatcher.is_done()
    assert rig.end_all() == 2
    rig.run(0.1)
    assert rig.dispatcher.is_done()
    assert rig.states() == {State.DELIVERED: 22, State.PENDING: 28}
    now = rig.clock.now
    left = rig.queue.claim("one", 64, now, now, replays=False, in_order=False)
    assert len(left) == 28
    assert all(each.delivery.attempts == 0 for each in left)


def test_a_drain_wakes_the_loop() -> None:
    """It doesn't wait for the next look, and an idle one is done at once."""
    rig = Rig(endpoint())
    rig.run()
    rig.dispatcher.stop()
    assert rig.workers.wakes == 1
    assert rig.dispatcher.is_done()


def test_claims_stay_few_with_a_long_queue() -> None:
    """With thousands pending, what is in memory is what is sent within moments."""
    rig = Rig(endpoint(concurrency=8))
    rig.post(3000)
    for _ in range(20):
        rig.run(0.02)
        rig.end_all()
    lane = rig.workers.begun[0].lane
    assert len(lane.waiting) <= 64
    assert len(rig.workers.under_way) <= 8
    assert rig.states()[State.DELIVERED] > 20


def test_the_log_has_a_line_an_attempt(caplog: pytest.LogCaptureFixture) -> None:
    """With endpoint, message and outcome, and no address of anybody."""
    caplog.set_level("INFO")
    rig = Rig(endpoint())
    rig.post()
    rig.run()
    rig.end_all(Reason.SERVER_ERROR)
    rig.run(6)
    rig.end_all()
    rig.run(1)
    first, second = (vars(each) for each in caplog.records)
    [delivery] = rig.deliveries()
    for line in (first, second):
        assert line["endpoint"] == "one"
        assert line["message_id"] == delivery.message_id
        assert "c@d" not in str(line)
    assert (first["attempt"], first["outcome"], first["levelname"]) == (1, "refused", "WARNING")
    assert (second["attempt"], second["outcome"], second["levelname"]) == (2, "delivered", "INFO")


def test_a_delivery_that_was_discarded_meanwhile_stays_so() -> None:
    """The result of a request that was under way doesn't bring it back."""
    rig = Rig(endpoint())
    rig.post()
    rig.run()
    rig.queue.discard([1])
    rig.end_all(Reason.SERVER_ERROR)
    rig.run(60)
    assert rig.states() == {State.DISCARDED: 1}
    assert len(rig.workers.begun) == 1


def test_the_recipients_of_an_endpoint_do_not_matter_here() -> None:
    """Deliveries belong to the name: whatever it is configured to match by now."""
    rig = Rig(replace(endpoint(), recipients=("nobody@nowhere.example",)))
    rig.post()
    rig.run()
    assert len(rig.workers.under_way) == 1


def test_people_are_told_of_an_endpoint_that_is_spared() -> None:
    """Why, and since when; it is noted again by each probe that fails, and not once it succeeds."""
    rig = Rig(endpoint(), endpoint("two"))
    rig.post(10)
    rig.run()
    rig.end_all(Reason.TIMEOUT)
    rig.run(0.1)
    opened = rig.queue.open_breakers()
    assert opened.keys() == {"one"}
    assert opened["one"].reason == "timeout"
    rig.run(31)
    assert rig.end_all(Reason.SERVER_ERROR) == 1
    rig.run(0.1)
    again = rig.queue.open_breakers()["one"]
    assert (again.reason, again.opened_at) == ("server_error", opened["one"].opened_at)
    rig.run(61)
    assert rig.end_all() == 1
    rig.run(0.1)
    assert rig.queue.open_breakers() == {}


def succeeded(rig: Rig) -> HeldWorkers:
    """Let a new process take the place of the rig's dispatcher; return its workers."""
    rig.dispatcher.stop()
    rig.end_all(Reason.TIMEOUT)
    rig.run(0.1)
    assert rig.dispatcher.is_done()
    rig.dispatcher.run()
    workers = HeldWorkers(rig.clock)
    rig.dispatcher, rig.workers = rig.another(workers), workers
    return workers


def test_a_restart_does_not_forget_that_an_endpoint_is_down() -> None:
    """With many waiting, each reload sends one probe, and all but that one spend no attempts."""
    rig = Rig(endpoint())
    rig.post(100)
    rig.run()
    rig.end_all(Reason.TIMEOUT)
    rig.run(10)
    assert rig.workers.under_way == []
    for _ in range(3):
        workers = succeeded(rig)
        rig.run(1)
        assert len(workers.begun) == 1
        assert rig.queue.open_breakers().keys() == {"one"}
    rig.end_all()
    rig.run(0.1)
    assert rig.queue.open_breakers() == {}
    assert sum(each.attempts > 0 for each in rig.deliveries()) <= 8 + 3


def test_a_restart_does_not_overload_an_endpoint_that_recovers() -> None:
    """A new process begins with one request at a time, then 2, 4 and 8."""
    rig = Rig(endpoint())
    rig.post(200)
    workers = succeeded(rig)
    at_once = []
    for _ in range(20):
        rig.run(0.02)
        at_once.append(len(workers.under_way))
        rig.end_all()
    assert at_once == sorted(at_once)
    assert sorted(set(at_once)) == [1, 2, 4, 8]


def test_notes_about_endpoints_of_others_are_left_alone() -> None:
    """A process corrects only what it knows better."""
    rig = Rig(endpoint())
    rig.queue.open_breaker("other", "timeout", rig.clock.now)
    rig.post()
    rig.run()
    rig.end_all()
    rig.run(10)
    assert rig.queue.open_breakers().keys() == {"other"}


def test_a_note_of_a_process_that_has_ended_is_corrected() -> None:
    """By one that runs, after seconds, once the endpoint has answered it."""
    rig = Rig(endpoint())
    rig.run()
    rig.queue.open_breaker("one", "timeout", rig.clock.now)
    rig.run(10)
    assert rig.queue.open_breakers().keys() == {"one"}
    rig.post()
    rig.run()
    rig.end_all()
    rig.run(6)
    assert rig.queue.open_breakers() == {}


def test_what_another_process_has_found_to_be_down_gets_a_probe() -> None:
    """One failure is enough then, and the answer to the next probe closes the breaker for all."""
    rig = Rig(endpoint())
    rig.run()
    rig.queue.open_breaker("one", "timeout", rig.clock.now)
    rig.run(10)
    rig.post(100)
    rig.run(0.1)
    assert len(rig.workers.begun) == 1
    rig.end_all(Reason.TIMEOUT)
    rig.run(10)
    assert len(rig.workers.begun) == 1
    rig.run(60)
    rig.end_all()
    rig.run(0.1)
    assert rig.queue.open_breakers() == {}
    assert len(rig.workers.begun) > 2
