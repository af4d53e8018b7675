"""Whatever is done with deliveries, each queue does the same; drawn at random."""

import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support.deliveries import add_for, at, attempt, dead, delivered, failed, released
from support.postgresql_host import Host
from support.rounds import rounds

from app.storage.delivery import Claim, Delivery, DeliveryQuery, Replay, Result, State
from app.storage.interface import MessageStore
from app.storage.memory import MemoryStore
from app.storage.message import Reason
from app.storage.sqlite.creation import create_store

ENDPOINTS = ("app", "log")
STEPS = 100


class Twin:
    """One store, in which messages and deliveries are known by the order in which they came."""

    def __init__(self, store: MessageStore) -> None:
        self.store = store
        self.queue = store.deliveries
        self.messages: list[str] = []
        self.numbers: list[int] = []
        self.claims: list[Claim] = []
        self.replays: list[int] = []

    def every(self) -> list[Delivery]:
        """Return all deliveries, and note the numbers of the new ones."""
        query = DeliveryQuery(limit=100_000, oldest_first=True)
        found = list(self.queue.find(query).deliveries)
        self.numbers += [each.number for each in found if each.number not in self.numbers]
        return found

    def place(self, number: int) -> int:
        """Return which delivery has this number."""
        self.every()
        return self.numbers.index(number)

    def view(self) -> object:
        """Return all that can be told of deliveries, without what differs by chance."""
        found = [
            replace(
                each,
                number=self.place(each.number),
                message_id=str(self.messages.index(each.message_id)),
                message_number=0,
                settled_at=None,
            )
            for each in self.every()
        ]
        attempts = [len(self.queue.get(number)[1]) for number in map(_number, self.every())]
        return found, attempts, list(self.queue.figures()), self.queue.next_due(ENDPOINTS)


def _number(delivery: Delivery) -> int:
    return delivery.number


def add(twin: Twin, draw: random.Random, now: float) -> object:
    endpoints = draw.sample(ENDPOINTS, draw.randrange(3))
    twin.messages.append(add_for(twin.store, *endpoints, seconds=int(now)).message_id)
    return None


def take(twin: Twin, draw: random.Random, now: float) -> object:
    claims = twin.queue.claim(
        draw.choice(ENDPOINTS),
        draw.choice([1, 3, 64]),
        at(now),
        at(now + 60),
        replays=draw.random() < 0.3,
        in_order=draw.random() < 0.3,
    )
    twin.claims += claims
    return [(twin.place(each.delivery.number), each.delivery.attempts) for each in claims]


def finish(twin: Twin, draw: random.Random, now: float) -> object:
    count = min(len(twin.claims), draw.randrange(5))
    results = []
    for _ in range(count):
        claimed = twin.claims.pop(draw.randrange(len(twin.claims)))
        results.append(_result(claimed, draw.randrange(5), now))
    return twin.queue.finish(results)


def _result(claimed: Claim, kind: int, now: float) -> Result:
    made = attempt(int(now))
    unspent = Result(claimed, State.PENDING, at(now + 9), spends=False, attempt=made, reason="x")
    results = (delivered, dead, released, lambda each: failed(each, now + 30), lambda _: unspent)
    return results[kind](claimed)


def renew(twin: Twin, draw: random.Random, now: float) -> object:
    some = draw.sample(twin.claims, min(3, len(twin.claims)))
    renewed = twin.queue.renew(some, at(now + 60))
    return [twin.place(each.delivery.number) for each in renewed]


def forgive(twin: Twin, draw: random.Random, _now: float) -> object:
    twin.queue.forgive(draw.sample(twin.claims, min(3, len(twin.claims))))
    return None


def decide(twin: Twin, draw: random.Random, now: float) -> object:
    numbers = draw.sample(twin.numbers, min(3, len(twin.numbers)))
    if draw.random() < 0.5:
        decided = twin.queue.retry(numbers, at(now))
    else:
        decided = twin.queue.discard(numbers)
    return [twin.place(each) for each in decided]


def remove(twin: Twin, draw: random.Random, _now: float) -> object:
    some = draw.sample(twin.messages, min(1, len(twin.messages)))
    return len(twin.store.remove(some, Reason.REQUEST))


def add_replay(twin: Twin, draw: random.Random, now: float) -> object:
    since = at(draw.randrange(int(now) + 1)) if draw.random() < 0.5 else None
    asked = Replay(draw.choice(ENDPOINTS), since=since)
    twin.replays.append(twin.queue.add_replay(asked))
    return len(twin.queue.replays())


def advance(twin: Twin, draw: random.Random, now: float) -> object:
    if not twin.replays:
        return None
    return twin.queue.advance_replay(draw.choice(twin.replays), draw.choice([1, 5]), at(now))


def forget(twin: Twin, draw: random.Random, now: float) -> object:
    twin.queue.forget_attempts(at(now - draw.choice([50, 200])))
    return None


def clamp(twin: Twin, draw: random.Random, now: float) -> object:
    return twin.queue.clamp_times(ENDPOINTS, at(now - draw.choice([0, 100, 200_000])))


WAYS = [add, add, take, take, take, finish, finish, renew, decide, remove, add_replay, advance]


@pytest.fixture
def twins(data_dir: Path, database_url: str) -> Iterator[tuple[Twin, ...]]:
    with closing(create_store(data_dir)) as sqlite, closing(Host(database_url)) as postgresql:
        yield Twin(MemoryStore()), Twin(sqlite), Twin(postgresql)


@pytest.mark.server
@pytest.mark.parametrize("seed", range(rounds(8, 2)))
def test_all_queues_do_the_same(twins: tuple[Twin, ...], seed: int) -> None:
    """After each step the same deliveries are in the same states, and the same can be claimed."""
    draw, now = random.Random(seed), 0.0
    for step in range(STEPS):
        way = draw.choice([*WAYS, forget, forgive, clamp] if step % 20 == 0 else WAYS)
        own = draw.random()
        first, *others = [way(twin, random.Random(own), now) for twin in twins]
        assert others == [first, first], (step, way)
        first, *others = [twin.view() for twin in twins]
        assert others == [first, first], (step, way)
        now += draw.choice([0, 1, 5, 61])
