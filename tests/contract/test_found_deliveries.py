"""How every queue finds deliveries; each test runs against each of them."""

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest
from support.deliveries import add_for, at, claim, dead, delivered, failed

from app.storage.delivery import Delivery, DeliveryQuery, Replay, State
from app.storage.interface import MessageStore

RECIPIENTS = ("bob@example.com", "eve@example.com", "Bob@EXAMPLE.com")


@pytest.fixture
def every(store: MessageStore) -> list[Delivery]:
    """Return deliveries of all kinds, the first to be made first."""
    draw = random.Random(1)
    for number in range(60):
        endpoints = draw.sample(["app", "log", "other"], draw.randrange(4))
        add_for(store, *endpoints, seconds=number * 2 % 50, recipient=draw.choice(RECIPIENTS))
    queue = store.deliveries
    replay = queue.add_replay(Replay("added"))
    queue.advance_replay(replay, 7, at(20))
    for each in claim(queue, seconds=30) + claim(queue, "log", seconds=40):
        result = draw.choice([delivered(each), dead(each), failed(each, 100)])
        queue.finish([result])
    found = queue.find(DeliveryQuery(limit=1000, oldest_first=True))
    assert not found.has_more
    return list(found.deliveries)


def wanted(every: list[Delivery], query: DeliveryQuery) -> list[int]:
    """Return the numbers of those that match, worked out in another way."""
    recipients = None if query.recipient is None else query.recipient.lower()
    found = [
        each.number
        for each in every
        if query.endpoint in {None, each.endpoint}
        and query.state in {None, each.state}
        and recipients in {None, each.recipient.lower()}
        and query.message_id in {None, each.message_id}
        and (query.since is None or each.created_at >= query.since)
        and (query.until is None or each.created_at < query.until)
    ]
    return found if query.oldest_first else found[::-1]


def paged(store: MessageStore, query: DeliveryQuery) -> Iterator[int]:
    """Yield the numbers of what is found, page by page."""
    while True:
        page = store.deliveries.find(query)
        assert len(page.deliveries) <= query.limit
        yield from (each.number for each in page.deliveries)
        if not page.has_more:
            return
        if query.oldest_first:
            query = replace(query, after=page.position)
        else:
            query = replace(query, before=page.position)


@pytest.mark.parametrize("limit", [1, 7, 1000])
@pytest.mark.parametrize("oldest_first", [False, True])
def test_all_that_match_are_found_page_by_page(
    store: MessageStore, every: list[Delivery], limit: int, oldest_first: bool
) -> None:
    """Each once and in order, for each combination of what can be asked for."""
    choices = product(
        [None, "app", "added", "none"],
        [None, *State],
        [None, "bob@example.COM", "nobody@example.com"],
        [(None, None), (at(10), None), (None, at(25)), (at(10), at(25))],
    )
    for endpoint, state, recipient, (since, until) in choices:
        query = DeliveryQuery(
            endpoint=endpoint,
            state=state,
            recipient=recipient,
            since=since,
            until=until,
            limit=limit,
            oldest_first=oldest_first,
        )
        assert list(paged(store, query)) == wanted(every, query)


def test_those_of_a_message_are_found(store: MessageStore, every: list[Delivery]) -> None:
    """All of them, or those of one endpoint."""
    message_id = every[0].message_id
    for query in (
        DeliveryQuery(message_id=message_id),
        DeliveryQuery(message_id=message_id, endpoint=every[0].endpoint),
        DeliveryQuery(message_id=message_id, state=State.DISCARDED),
        DeliveryQuery(message_id="unknown"),
    ):
        assert list(paged(store, query)) == wanted(every, query)


def test_a_reader_misses_nothing_that_is_made_meanwhile(store: MessageStore) -> None:
    """It goes on from the last number it has seen, and gets each once."""
    seen: list[int] = []
    for seconds in range(10):
        add_for(store, "app", "log", seconds=-seconds)
        query = DeliveryQuery(after=seen[-1] if seen else None, oldest_first=True, limit=3)
        seen += [each.number for each in store.deliveries.find(query).deliveries]
    assert len(seen) == len(set(seen)) == 20
    assert seen == sorted(seen)
