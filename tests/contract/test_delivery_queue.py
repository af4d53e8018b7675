"""What every queue of deliveries does; each test runs against each of them."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support.deliveries import (
    add_for,
    at,
    attempt,
    claim,
    dead,
    delivered,
    failed,
    numbers,
    released,
    states,
)

from app.errors import DeliveryNotFound
from app.storage.delivery import (
    Claim,
    Delivery,
    DeliveryQuery,
    Figure,
    OpenBreaker,
    Replay,
    Result,
    State,
)
from app.storage.delivery_queue import MOST_CLAIMS
from app.storage.interface import MessageStore
from app.storage.message import Reason

PENDING, DELIVERED, DEAD, DISCARDED = State


def only(store: MessageStore) -> Delivery:
    """Return the only delivery."""
    [found] = store.deliveries.find(DeliveryQuery()).deliveries
    return found


def test_a_message_is_stored_with_its_deliveries(store: MessageStore) -> None:
    """One for each endpoint, due at once, in the order of the endpoints."""
    receipt = add_for(store, "app", "log", recipient="eve@example.com", seconds=5)
    add_for(store, seconds=6)
    first, second = store.deliveries.find(DeliveryQuery(oldest_first=True)).deliveries
    assert first == Delivery(
        number=first.number,
        message_id=receipt.message_id,
        message_number=store.get(receipt.message_id).number,
        endpoint="app",
        recipient="eve@example.com",
        state=PENDING,
        attempts=0,
        due_at=at(5),
        is_replay=False,
        created_at=at(5),
        settled_at=None,
        reason=None,
    )
    assert second == replace(first, number=second.number, endpoint="log")
    assert second.number > first.number


def test_a_repeat_makes_no_delivery(store: MessageStore) -> None:
    """Neither for the same endpoints nor for others."""
    add_for(store, "app", key="same")
    assert add_for(store, "app", "log", key="same").duplicate
    assert only(store).endpoint == "app"


def test_what_is_due_longest_is_claimed_first(store: MessageStore) -> None:
    """Of one endpoint, as many as asked for; nothing that isn't due yet."""
    for seconds in (3, 1, 2, 9):
        add_for(store, "app", seconds=seconds)
    add_for(store, "log")
    queue = store.deliveries
    assert claim(queue, seconds=0.5) == []
    claimed = claim(queue, seconds=3, limit=2)
    assert [each.delivery.due_at for each in claimed] == [at(1), at(2)]
    assert {each.until for each in claimed} == {at(63)}
    assert [each.delivery.due_at for each in claim(queue, seconds=3)] == [at(3)]
    assert claim(queue, "other", seconds=3) == claim(queue, seconds=9, limit=0) == []


def test_a_claim_is_bounded(store: MessageStore) -> None:
    """However many are asked for."""
    for _ in range(MOST_CLAIMS + 2):
        add_for(store, "app")
    assert len(claim(store.deliveries, limit=1000)) == MOST_CLAIMS
    assert len(claim(store.deliveries, limit=1000)) == 2


def test_what_is_claimed_belongs_to_one(store: MessageStore) -> None:
    """Until the claim expires; then the result of whoever had it isn't kept."""
    add_for(store, "app")
    queue = store.deliveries
    [first] = claim(queue)
    assert claim(queue, seconds=59.9) == []
    [second] = claim(queue, seconds=60)
    assert second.lease != first.lease
    assert second.delivery == first.delivery
    assert queue.finish([delivered(first)]) == 0
    assert queue.renew([first, second], at(200)) == [replace(second, until=at(200))]
    assert only(store).state == PENDING
    assert list(queue.get(only(store).number)[1]) == []
    assert queue.finish([dead(first), delivered(second)]) == 1
    assert only(store).state == DELIVERED
    assert [each.status for each in queue.get(only(store).number)[1]] == [200]


def test_of_many_threads_one_claims(store: MessageStore) -> None:
    """Eight at once: each delivery is claimed once."""
    for _ in range(100):
        add_for(store, "app")
    barrier = threading.Barrier(8)

    def claim_some(_: int) -> list[int]:
        barrier.wait()
        return numbers(claim(store.deliveries, limit=5) + claim(store.deliveries, limit=5))

    with ThreadPoolExecutor(8) as pool:
        found = [number for each in pool.map(claim_some, range(8)) for number in each]
    assert len(found) == len(set(found)) == 80


def test_a_claim_that_is_renewed_lasts(store: MessageStore) -> None:
    """Only what is still held is renewed; it expires later, and its result counts."""
    for _ in range(2):
        add_for(store, "app")
    queue = store.deliveries
    kept, lost = claim(queue)
    queue.finish([delivered(lost)])
    assert queue.renew([kept, lost], at(100)) == [replace(kept, until=at(100))]
    assert claim(queue, seconds=99) == []
    assert queue.finish([delivered(kept)]) == 1
    assert claim(queue, seconds=101) == []


def test_results_are_kept(store: MessageStore) -> None:
    """State, reason, the next attempt's time, and how many attempts were spent."""
    for _ in range(5):
        add_for(store, "app")
    queue = store.deliveries
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    claims = claim(queue, seconds=1)
    unspent = replace(failed(claims[3], 50), spends=False)
    results = [delivered(claims[0]), failed(claims[1], 30), dead(claims[2]), unspent]
    assert queue.finish([*results, released(claims[4])]) == 5

    found = queue.find(DeliveryQuery(oldest_first=True)).deliveries
    assert [each.state for each in found] == [DELIVERED, PENDING, DEAD, PENDING, PENDING]
    assert [each.attempts for each in found] == [1, 1, 1, 0, 0]
    assert [each.due_at for each in found] == [None, at(30), None, at(50), at(0)]
    assert [each.reason for each in found] == [None, "refused", "exhausted", "refused", None]
    settled = [each.settled_at for each in found]
    assert [each is None for each in settled] == [False, True, False, True, True]
    assert all(before <= each <= datetime.now(UTC) for each in settled if each)
    assert numbers(claim(queue, seconds=1)) == [found[4].number]
    assert numbers(claim(queue, seconds=30)) == [found[1].number]


def test_a_success_leaves_no_reason(store: MessageStore) -> None:
    """Of failures before it only the attempts tell; a release says nothing new."""
    add_for(store, "app")
    queue = store.deliveries
    queue.finish([failed(claim(queue)[0], 1)])
    queue.finish([released(claim(queue, seconds=1)[0])])
    assert (only(store).reason, only(store).due_at) == ("refused", at(1))
    queue.finish([delivered(claim(queue, seconds=1)[0])])
    assert only(store).reason is None
    assert [each.status for each in queue.get(only(store).number)[1]] == [500, 200]


def test_what_takes_its_process_down_three_times_is_dead(store: MessageStore) -> None:
    """Twice an expired claim goes back; after the third nobody gets it any more."""
    add_for(store, "app")
    queue = store.deliveries
    for seconds in (0, 60, 120):
        assert len(claim(queue, seconds=seconds)) == 1
        assert only(store).state == PENDING
    assert claim(queue, seconds=179) == []
    assert only(store).state == PENDING
    assert claim(queue, seconds=180) == []
    assert (only(store).state, only(store).reason) == (DEAD, "poison")
    assert only(store).settled_at == at(180)
    assert claim(queue, seconds=1000) == []


def test_a_result_shows_that_it_is_no_poison(store: MessageStore) -> None:
    """A result in between begins the count anew, a release doesn't."""
    add_for(store, "app")
    queue = store.deliveries
    claim(queue)
    claim(queue, seconds=60)
    queue.finish([failed(claim(queue, seconds=120)[0], 130)])
    for seconds in (200, 260):
        assert len(claim(queue, seconds=seconds)) == 1
    queue.finish([released(claim(queue, seconds=320)[0])])
    assert len(claim(queue, seconds=330)) == 1
    assert claim(queue, seconds=400) == []
    assert only(store).reason == "poison"


def test_a_process_that_was_told_to_stop_is_forgiven(store: MessageStore) -> None:
    """However often what it was sending is cut off; claims that really expire count as before."""
    add_for(store, "app")
    queue = store.deliveries
    for seconds in range(0, 600, 60):
        claims = claim(queue, seconds=seconds)
        queue.forgive(claims)
        assert len(claims) == 1
    for seconds in (600, 660, 720):
        [claimed] = claim(queue, seconds=seconds)
        queue.forgive(claims)  # no longer held
    queue.finish([released(claimed)])
    assert len(claim(queue, seconds=720)) == 1
    assert claim(queue, seconds=780) == []
    assert only(store).reason == "poison"


def test_what_was_claimed_beside_poison_is_delivered(store: MessageStore) -> None:
    """A process that dies of one delivery each time, whatever else it has claimed by then."""
    for _ in range(20):
        add_for(store, "app")
    queue = store.deliveries
    poison = queue.find(DeliveryQuery(limit=11)).deliveries[-1].number
    now = 0
    for _ in range(40):
        while claims := claim(queue, seconds=now):
            if poison in numbers(claims):
                break  # it dies before it has a result of any of them
            queue.finish([delivered(each) for each in claims])
        now += 60
    assert queue.get(poison)[0].reason == "poison"
    assert states(store) == [DELIVERED] * 9 + [DEAD] + [DELIVERED] * 10


def test_one_at_a_time_has_its_last_chance(store: MessageStore) -> None:
    """Of all endpoints, so that no other is near when it takes its process down."""
    for endpoint in ("app", "log"):
        add_for(store, endpoint)
        add_for(store, endpoint)
    queue = store.deliveries
    for seconds in (0, 60):
        assert len(claim(queue, "app", seconds) + claim(queue, "log", seconds)) == 4
    [last] = claim(queue, "app", 120)
    assert claim(queue, "app", 120) == claim(queue, "log", 120, in_order=True) == []
    queue.finish([delivered(last)])
    assert len(claim(queue, "log", 120, in_order=True)) == 1
    assert claim(queue, "app", 120) == []


def test_in_order_means_one_at_a_time(store: MessageStore) -> None:
    """The first to arrive, and none while it is claimed, or its next attempt isn't due."""
    for seconds in (2, 1, 0):
        add_for(store, "app", seconds=seconds)
    queue = store.deliveries
    found = [each.number for each in queue.find(DeliveryQuery(oldest_first=True)).deliveries]
    [first] = claim(queue, seconds=5, in_order=True)
    assert first.delivery.number == found[0]
    assert claim(queue, seconds=5, in_order=True) == []
    queue.finish([failed(first, 30)])
    assert claim(queue, seconds=29, in_order=True) == []
    [again] = claim(queue, seconds=30, in_order=True)
    assert again.delivery.number == found[0]
    queue.finish([dead(again)])
    [second] = claim(queue, seconds=30, in_order=True)
    assert second.delivery.number == found[1]
    assert numbers(claim(queue, seconds=90, in_order=True)) == [found[1]]


def test_in_order_means_one_at_a_time_of_all_kinds(store: MessageStore) -> None:
    """New mail waits for a replay in flight, and for what was claimed without an order."""
    add_for(store, "app")
    queue = store.deliveries
    queue.finish([delivered(claim(queue, in_order=True)[0])])
    queue.advance_replay(queue.add_replay(Replay("app")), 1, at(1))
    [replay] = claim(queue, seconds=1, replays=True, in_order=True)
    for _ in range(3):
        add_for(store, "app", seconds=2)
    add_for(store, "log", seconds=2)
    assert claim(queue, seconds=2, in_order=True) == []
    assert len(claim(queue, "log", seconds=2, in_order=True)) == 1
    queue.finish([delivered(replay)])
    first, second = claim(queue, seconds=2, limit=2)
    for each in (first, second):
        assert claim(queue, seconds=2, in_order=True) == []
        queue.finish([delivered(each)])
    assert len(claim(queue, seconds=2, in_order=True)) == 1


def test_it_tells_when_something_is_due(store: MessageStore) -> None:
    """The first of each endpoint; one that is claimed when its claim expires."""
    for seconds in (7, 5):
        add_for(store, "app", seconds=seconds)
    add_for(store, "log", "other", seconds=1)
    queue = store.deliveries
    assert queue.next_due(["app", "log", "none"]) == {"app": at(5), "log": at(1)}
    [claimed] = claim(queue, seconds=6)
    assert queue.next_due(["app"]) == {"app": at(7)}
    claim(queue, seconds=7)
    assert queue.next_due(["app"]) == {"app": at(66)}
    queue.finish([failed(claimed, 500)])
    assert queue.next_due(["app"]) == {"app": at(67)}
    [claimed] = claim(queue, "log", 5)
    queue.finish([delivered(claimed)])
    assert queue.next_due(["log"]) == {}


def test_a_clock_that_was_ahead_holds_nothing_up(store: MessageStore) -> None:
    """What is due or claimed far ahead of the time is limited; what may be right stays."""
    year = 365 * 86400.0
    for seconds in (year, 0, 0, 0, 0):
        add_for(store, "app", seconds=int(seconds))
    queue = store.deliveries
    first, second, third, fourth = claim(queue)
    queue.finish([failed(first, year), failed(second, 28.8 * 3600)])
    queue.renew([third], at(year + 60))
    queue.renew([fourth], at(60))
    assert queue.clamp_times(["log"], at(1)) == 0
    total = 0
    while clamped := queue.clamp_times(["app", "log"], at(1)):
        total += clamped
    assert total == 3
    assert queue.next_due(["app"]) == {"app": at(1)}
    now_due = claim(queue, seconds=1, lease_seconds=1000)
    assert [each.delivery.due_at for each in now_due] == [at(1), at(1)]
    assert claim(queue, seconds=59) == []
    assert numbers(claim(queue, seconds=60, lease_seconds=1000)) == numbers([fourth])
    assert claim(queue, seconds=90) == []
    assert numbers(claim(queue, seconds=91)) == numbers([third])


def test_figures_are_those_of_what_there_is(store: MessageStore) -> None:
    """Through every change of state; what is gone isn't counted, and the oldest is another."""
    receipts = [add_for(store, "app", seconds=seconds) for seconds in range(5)]
    add_for(store, "log", seconds=9)
    queue = store.deliveries
    claims = claim(queue, seconds=5)
    queue.finish([delivered(claims[0]), delivered(claims[1]), dead(claims[2])])
    assert list(queue.figures()) == [
        Figure("app", DEAD, 1, at(2)),
        Figure("app", DELIVERED, 2, at(0)),
        Figure("app", PENDING, 2, at(3)),
        Figure("log", PENDING, 1, at(9)),
    ]
    queue.retry([claims[2].delivery.number], at(8))
    queue.discard([claims[3].delivery.number])
    store.remove([receipts[0].message_id], Reason.REQUEST)
    assert list(queue.figures()) == [
        Figure("app", DELIVERED, 1, at(1)),
        Figure("app", DISCARDED, 1, at(3)),
        Figure("app", PENDING, 2, at(2)),
        Figure("log", PENDING, 1, at(9)),
    ]


def test_attempts_are_kept(store: MessageStore) -> None:
    """The last twenty, in order, each with the first KiB of its answer."""
    add_for(store, "app")
    queue = store.deliveries
    made = [
        replace(attempt(second, status=None), error="Timed out.", answer=bytes([second]) * 2000)
        for second in range(23)
    ]
    for each in made:
        [claimed] = claim(queue, seconds=100)
        queue.finish(
            [Result(claimed, PENDING, at(0), spends=False, attempt=each, reason="timeout")]
        )
    delivery, kept = queue.get(only(store).number)
    assert delivery == only(store)
    assert list(kept) == [replace(each, answer=each.answer[:1024]) for each in made[3:]]


def test_attempts_are_forgotten(store: MessageStore) -> None:
    """Those from before the moment that is given; the delivery stays."""
    for _ in range(2):
        add_for(store, "app")
    queue = store.deliveries
    for seconds in (0, 10, 20):
        for claimed in claim(queue, seconds=100):
            made = attempt(seconds)
            queue.finish([Result(claimed, PENDING, at(0), spends=True, attempt=made, reason="x")])
    queue.forget_attempts(at(10))
    for each in queue.find(DeliveryQuery()).deliveries:
        assert list(queue.get(each.number)[1]) == [attempt(10), attempt(20)]
        assert each.attempts == 3
    queue.forget_attempts(at(1000))
    assert list(queue.get(claimed.delivery.number)[1]) == []


def test_attempts_of_a_clock_that_was_ahead_are_in_nobodys_way(store: MessageStore) -> None:
    """However many were stored first, the old ones after them are forgotten."""
    add_for(store, "app", seconds=-1)
    for _ in range(600):
        add_for(store, "log")
    queue = store.deliveries
    ahead = replace(attempt(), at=datetime.now(UTC) + timedelta(days=900))
    while claims := claim(queue, "log"):
        queue.finish([replace(delivered(each), attempt=ahead) for each in claims])
    queue.finish([failed(claim(queue)[0], 1)])
    queue.forget_attempts(at(1))
    [old] = queue.find(DeliveryQuery(endpoint="app")).deliveries
    assert list(queue.get(old.number)[1]) == []
    [newest] = queue.find(DeliveryQuery(endpoint="log", limit=1)).deliveries
    assert len(queue.get(newest.number)[1]) == 1


def test_an_unknown_number_is_not_found(store: MessageStore) -> None:
    """In words for any client; deciding about it does nothing."""
    with pytest.raises(DeliveryNotFound, match="No delivery has this id"):
        store.deliveries.get(17)
    assert store.deliveries.retry([17], at(0)) == store.deliveries.discard([17]) == []


def test_each_state_can_be_retried(store: MessageStore) -> None:
    """It is due now, with all attempts before it; what is discarded and delivered, too."""
    for _ in range(5):
        add_for(store, "app")
    queue = store.deliveries
    claims = claim(queue)
    queue.finish([delivered(claims[0]), dead(claims[1]), failed(claims[2], 5000)])
    queue.finish([released(claims[3])])
    queue.discard([claims[3].delivery.number])
    due = numbers(claims[:4])
    assert queue.retry([*due, 17], at(10)) == due
    found = queue.find(DeliveryQuery(oldest_first=True)).deliveries
    assert [(each.state, each.attempts, each.settled_at) for each in found] == [
        (PENDING, 0, None)
    ] * 5
    again = claim(queue, seconds=10)
    assert numbers(again) == due
    queue.finish([delivered(again[0])])
    assert len(queue.get(due[0])[1]) == 2


def test_a_retry_leaves_a_claim_alone(store: MessageStore) -> None:
    """What is being sent isn't sent a second time if it succeeds."""
    add_for(store, "app")
    queue = store.deliveries
    queue.finish([failed(claim(queue)[0], 1)])
    [claimed] = claim(queue, seconds=1)
    queue.retry(numbers([claimed]), at(2))
    assert claim(queue, seconds=2) == []
    assert queue.finish([delivered(claimed)]) == 1
    assert only(store).state == DELIVERED


@pytest.mark.parametrize("result", [dead, lambda claimed: failed(claimed, 100)])
def test_a_retry_outlasts_the_attempt_under_way(
    store: MessageStore, result: Callable[[Claim], Result]
) -> None:
    """If that fails, even as the last one, the delivery is due with all its attempts ahead."""
    add_for(store, "app")
    queue = store.deliveries
    queue.finish([failed(claim(queue)[0], 1)])
    [claimed] = claim(queue, seconds=1)
    queue.retry(numbers([claimed]), at(2))
    assert queue.finish([result(claimed)]) == 1
    found = only(store)
    assert (found.state, found.attempts, found.due_at, found.settled_at) == (
        PENDING,
        0,
        at(2),
        None,
    )
    assert len(queue.get(found.number)[1]) == 2
    queue.finish([dead(claim(queue, seconds=2)[0])])
    assert only(store).state == DEAD


def test_poison_has_all_its_chances_again(store: MessageStore) -> None:
    """When somebody retries it."""
    add_for(store, "app")
    queue = store.deliveries
    for seconds in (0, 60, 120, 180):
        claim(queue, seconds=seconds)
    assert only(store).state == DEAD
    queue.retry([only(store).number], at(200))
    for seconds in (200, 260, 320):
        assert len(claim(queue, seconds=seconds)) == 1


def test_what_is_discarded_is_not_tried(store: MessageStore) -> None:
    """Pending or dead; a result of one that was claimed doesn't count. Others stay as they are."""
    for _ in range(4):
        add_for(store, "app")
    queue = store.deliveries
    claims = claim(queue, limit=3)
    queue.finish([delivered(claims[0]), dead(claims[1])])
    every = [each.number for each in queue.find(DeliveryQuery(oldest_first=True)).deliveries]
    assert queue.discard(every) == every[1:]
    assert states(store) == [DELIVERED, DISCARDED, DISCARDED, DISCARDED]
    assert queue.finish([delivered(claims[2])]) == 0
    assert claim(queue, seconds=1000) == []
    assert queue.discard(every) == []
    assert queue.get(every[1])[0].reason == "exhausted"


def test_pauses_are_kept(store: MessageStore) -> None:
    """With the last reason, until the endpoint is resumed."""
    queue = store.deliveries
    queue.pause("app", "The endpoint answered 410.")
    queue.pause("app", "by hand")
    queue.pause("log", "by hand")
    assert queue.paused() == {"app": "by hand", "log": "by hand"}
    queue.resume("app")
    queue.resume("other")
    assert queue.paused() == {"log": "by hand"}


def test_deliveries_go_with_their_message(store: MessageStore) -> None:
    """Whatever their state; a result that comes later finds nothing."""
    gone, kept = add_for(store, "app", "log"), add_for(store, "app")
    queue = store.deliveries
    claims = claim(queue)
    queue.finish([failed(claims[0], 5)])
    store.remove([gone.message_id], Reason.REQUEST)
    assert [each.message_id for each in queue.find(DeliveryQuery()).deliveries] == [kept.message_id]
    with pytest.raises(DeliveryNotFound):
        queue.get(claims[0].delivery.number)
    assert queue.finish([delivered(claims[0]), delivered(claims[1])]) == 1


def test_retention_leaves_what_is_to_be_delivered(store: MessageStore) -> None:
    """Also if it has become pending or dead since retention chose it."""
    receipts = [add_for(store, "app") for _ in range(4)]
    queue = store.deliveries
    claims = claim(queue)
    queue.finish([delivered(claims[0]), delivered(claims[1]), dead(claims[2])])
    queue.retry(numbers(claims[:1]), at(1))
    ids = [each.message_id for each in receipts]
    assert store.remove(ids, Reason.RETENTION) == ids[1:2]
    assert states(store) == [PENDING, DEAD, PENDING]
    assert sorted(store.remove(ids, Reason.REQUEST)) == sorted([ids[0], *ids[2:]])


def test_open_breakers_are_noted(store: MessageStore) -> None:
    """Since when by the first note, why by the last; closed twice is as good as once."""
    queue = store.deliveries
    assert queue.open_breakers() == {}
    queue.open_breaker("app", "timeout", at(1))
    queue.open_breaker("app", "server_error", at(2))
    queue.open_breaker("log", "timeout", at(3))
    assert queue.open_breakers() == {
        "app": OpenBreaker("server_error", at(1)),
        "log": OpenBreaker("timeout", at(3)),
    }
    for _ in range(2):
        queue.close_breaker("app")
        assert list(queue.open_breakers()) == ["log"]
    queue.open_breaker("app", "timeout", at(4))
    assert queue.open_breakers()["app"].opened_at == at(4)


def test_what_is_settled_is_not_due(store: MessageStore) -> None:
    """Whether it was delivered, is dead, or was discarded; until it is retried."""
    for _ in range(3):
        add_for(store, "app")
    first, second, third = claim(store.deliveries)
    store.deliveries.finish([delivered(first), dead(second)])
    store.deliveries.discard([third.delivery.number])
    found = store.deliveries.find(DeliveryQuery()).deliveries
    assert [each.due_at for each in found] == [None, None, None]
    store.deliveries.retry(numbers([first, second, third]), at(9))
    found = store.deliveries.find(DeliveryQuery()).deliveries
    assert [each.due_at for each in found] == [at(9)] * 3
