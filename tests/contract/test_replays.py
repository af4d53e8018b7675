"""What every queue does with replays; each test runs against each of them."""

from dataclasses import replace

import pytest
from support.deliveries import add_for, at, claim, delivered, states

from app.storage.delivery import DeliveryQuery, Replay, State
from app.storage.interface import MessageStore
from app.storage.message import Reason


def replayed(store: MessageStore, endpoint: str = "new") -> list[str]:
    """Return the messages that have a delivery to an endpoint, the first first."""
    query = DeliveryQuery(endpoint=endpoint, oldest_first=True, limit=1000)
    return [each.message_id for each in store.deliveries.find(query).deliveries]


def run(store: MessageStore, replay: Replay, most: int = 2) -> int:
    """Add a replay, and return how many pieces it takes."""
    number = store.deliveries.add_replay(replay)
    pieces = 0
    while store.deliveries.advance_replay(number, most, at(50)):
        pieces += 1
        assert pieces < 100
    assert store.deliveries.replays() == []
    return pieces


def test_what_is_stored_goes_to_an_endpoint_that_was_added_today(store: MessageStore) -> None:
    """In pieces, in the order of arrival; due now, and claimed as replays only."""
    receipts = [add_for(store, "app", seconds=seconds) for seconds in (3, 1, 2)]
    assert run(store, Replay("new")) == 2
    assert replayed(store) == [each.message_id for each in receipts]
    made = store.deliveries.find(DeliveryQuery(endpoint="new")).deliveries
    assert {(each.is_replay, each.due_at, each.created_at) for each in made} == {
        (True, at(50), at(50))
    }
    assert claim(store.deliveries, "new", 50) == []
    assert len(claim(store.deliveries, "new", 50, replays=True)) == 3


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Replay("new", since=at(2)), [2, 3, 4]),
        (Replay("new", until=at(2)), [0, 1]),
        (Replay("new", since=at(1), until=at(4)), [1, 2, 3]),
        (Replay("new", recipient="eve@EXAMPLE.com"), [1, 3]),
        (Replay("new", recipient="eve@example.com", since=at(2)), [3]),
        (Replay("new", since=at(100)), []),
    ],
    ids=str,
)
def test_only_what_is_asked_for_is_replayed(
    store: MessageStore, asked: Replay, expected: list[int]
) -> None:
    """By the time a message was received, and by its recipient."""
    receipts = [
        add_for(
            store, seconds=second, recipient=f"{'bob' if second % 2 == 0 else 'eve'}@example.com"
        )
        for second in range(5)
    ]
    run(store, asked)
    assert replayed(store) == [receipts[second].message_id for second in expected]


def test_a_replay_goes_on_where_it_was(store: MessageStore) -> None:
    """It says how far it is; what arrives after it was added isn't part of it."""
    receipts = [add_for(store, seconds=second) for second in range(3)]
    queue = store.deliveries
    asked = Replay("new", since=at(0), until=at(100), recipient="bob@example.com", rate=2.5)
    number = queue.add_replay(asked)
    assert list(queue.replays()) == [replace(asked, number=number)]
    add_for(store, seconds=4)
    assert queue.advance_replay(number, 2, at(50)) == 2
    position = store.get(receipts[1].message_id).number
    assert list(queue.replays()) == [replace(asked, number=number, position=position)]
    assert queue.advance_replay(number, 2, at(50)) == 1
    assert queue.advance_replay(number, 2, at(50)) == 0
    assert queue.advance_replay(number, 2, at(50)) == 0
    assert replayed(store) == [each.message_id for each in receipts]


def test_what_is_pending_anyway_is_not_made_twice(store: MessageStore) -> None:
    """What was delivered is; what the replay has passed counts all the same."""
    add_for(store, "app")
    add_for(store, "app")
    queue = store.deliveries
    queue.finish([delivered(claim(queue, limit=1)[0])])
    number = queue.add_replay(Replay("app"))
    assert queue.advance_replay(number, 64, at(50)) == 2
    assert states(store) == [State.DELIVERED, State.PENDING, State.PENDING]
    assert len(claim(queue, seconds=50, replays=True)) == 1


def test_two_replays_are_two(store: MessageStore) -> None:
    """Each has its number, endpoint and position; no number is used again."""
    for _ in range(3):
        add_for(store)
    queue = store.deliveries
    first, second = queue.add_replay(Replay("new")), queue.add_replay(Replay("other"))
    queue.advance_replay(second, 64, at(0))
    assert queue.advance_replay(second, 64, at(0)) == 0
    assert [each.number for each in queue.replays()] == [first]
    assert (len(replayed(store)), len(replayed(store, "other"))) == (0, 3)
    assert queue.add_replay(Replay("other")) not in {first, second}


def test_what_is_deleted_is_not_replayed(store: MessageStore) -> None:
    """Also if it is deleted after the replay was added."""
    receipts = [add_for(store) for _ in range(3)]
    number = store.deliveries.add_replay(Replay("new"))
    store.remove([receipts[1].message_id, receipts[2].message_id], Reason.REQUEST)
    assert store.deliveries.advance_replay(number, 64, at(0)) == 1
    assert replayed(store) == [receipts[0].message_id]


def test_live_mail_does_not_wait_for_a_replay(store: MessageStore) -> None:
    """Claims of live deliveries pass over those of replays, in order, too."""
    add_for(store)
    run(store, Replay("app"))
    receipt = add_for(store, "app", seconds=51)
    [claimed] = claim(store.deliveries, seconds=60, in_order=True)
    assert claimed.delivery.message_id == receipt.message_id
    assert claim(store.deliveries, seconds=60, replays=True, in_order=True) == []
    assert store.deliveries.finish([delivered(claimed)]) == 1
    assert len(claim(store.deliveries, seconds=60, replays=True, in_order=True)) == 1
