"""A copy of a store has all that the store has, in its order, however often it was interrupted."""

import itertools
import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.copies import contents, copied
from support.deliveries import add_for, at, claim, dead, delivered, failed
from support.killed import killed_after, killed_at, steps_of
from support.postgresql_databases import Databases
from support.rounds import rounds
from support.store import stored

from app.errors import StorageUnavailable
from app.settings import Storage
from app.storage.copied_stores import open_source
from app.storage.copying.interface import Tombstone
from app.storage.delivery import DeliveryQuery, Replay
from app.storage.factory import open_store
from app.storage.ids import new_message_id
from app.storage.interface import MessageStore
from app.storage.message import Envelope, Message, Reason, SMTPClient
from app.storage.preparation import prepare_store
from app.storage.segments.spooled_body import LARGE_MESSAGE_BYTES

PAIRS = list(itertools.product(["sqlite", "postgresql"], repeat=2))


@dataclass
class Pair:
    """Two places for stores, of which the first is in use."""

    source: Storage
    target: Storage
    store: MessageStore
    new_target: Callable[[], Storage]

    def copied_contents(self) -> object:
        """Return what is in the target."""
        with closing(open_store(self.target)) as store:
            return contents(store)


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """Return each pair of kinds of stores in turn."""
    with ExitStack() as stack:

        def new(kind: str) -> Storage:
            directory = tmp_path / f"{kind}{next(_keys)}"
            if kind == "sqlite":
                return Storage(directory)
            databases: Databases = request.getfixturevalue("databases")
            url = databases.new()
            stack.callback(databases.drop, url)
            # Made from one template, they would have the same.
            databases.server.execute(
                f"UPDATE store SET identity = '\\x{secrets.token_hex(8)}'", url.rpartition("/")[2]
            )
            return Storage(directory, url)

        source, target = map(new, request.param)
        prepare_store(source)
        store = stack.enter_context(closing(open_store(source)))
        yield Pair(source, target, store, lambda: new(request.param[1]))


_keys = itertools.count()


def add(store: MessageStore, raw: bytes, *endpoints: str, text: str = "é") -> str:
    """Store a message that has everything that a message can have, and return its id."""
    number = next(_keys)
    received_at = at(number / 1000)
    client = SMTPClient("192.0.2.7", f"mx{number}.example.com", None)
    message = Message(
        new_message_id(received_at),
        received_at,
        Envelope("", f"bob{number}@example.com", client, f"{text}@example.org", f"Q{number}"),
        f"{text} {number}",
        f"key {number}",
        endpoints,
    )
    body = store.new_body()
    for at_byte in range(0, len(raw), 65536):
        body.write(raw[at_byte : at_byte + 65536])
    return store.add(message, body).message_id


def work_at_random(store: MessageStore, draw: random.Random, steps: int) -> None:
    """Receive, deliver, decide and delete."""
    queue = store.deliveries
    for step in range(steps):
        raw = draw.randbytes(draw.choice([0, 10, 5000]))
        add(store, raw, *draw.sample(["app", "log"], draw.randrange(3)))
        now = 1000 + step * 10
        for each in claim(queue, draw.choice(["app", "log"]), now, limit=draw.randrange(3)):
            made = draw.choice([delivered(each), failed(each, now + 5), dead(each)])
            queue.finish([made])
        numbers = [each.number for each in queue.find(DeliveryQuery()).deliveries]
        if numbers and draw.random() < 0.2:
            chosen = [draw.choice(numbers)]
            if draw.random() < 0.5:
                queue.discard(chosen)
            else:
                queue.retry(chosen, at(2000))
        if draw.random() < 0.2:
            if "app" in queue.paused():
                queue.resume("app")
            else:
                queue.pause("app", "gone")
        if draw.random() < 0.1:
            store.remove([draw.choice(list(stored(store)))], Reason.REQUEST)


def test_all_that_a_store_has_is_copied(pair: Pair) -> None:
    """Envelopes, times, bytes of all sizes, in order, whatever is in them; it is said, too."""
    sizes = [10, 0, LARGE_MESSAGE_BYTES + 1, 300_000, 20]
    for size in sizes:
        add(pair.store, bytes(range(256)) * (size // 256) + b"x" * (size % 256), text="\0 ü")
    report = copied(pair.source, pair.target)
    assert (report.copied, report.copied_bytes, report.there) == (5, sum(sizes), 0)
    assert report.faults == []
    assert pair.copied_contents() == contents(pair.store)


def test_a_run_goes_on_where_the_last_one_has_ended(pair: Pair) -> None:
    """What has come, was deleted, delivered, retried, paused and resumed since is as there."""
    for seed in range(rounds(8, 2)):
        work_at_random(pair.store, random.Random(seed), 20)
        before = pair.store.statistics().messages
        report = copied(pair.source, pair.target)
        assert report.faults == []
        assert report.copied + report.there == before
        assert pair.copied_contents() == contents(pair.store)
    again = copied(pair.source, pair.target)
    assert (again.copied, again.tombstones, again.removed, again.deliveries) == (0, 0, 0, 0)


def tombstones(storage: Storage) -> set[Tombstone]:
    """Return what a store knows of deleted messages."""
    with closing(open_source(storage)) as source:
        return set(source.tombstones())


def test_repeats_are_recognized_in_the_target(pair: Pair) -> None:
    """Of messages that are there and of deleted ones, whichever run has found the deletion."""
    receipts = [add_for(pair.store, key=f"k{number}") for number in range(3)]
    pair.store.remove([receipts[0].message_id], Reason.REQUEST)
    copied(pair.source, pair.target)
    pair.store.remove([receipts[1].message_id], Reason.RETENTION)
    report = copied(pair.source, pair.target)
    assert (report.tombstones, report.removed, report.there) == (1, 1, 1)
    with closing(open_store(pair.target)) as store:
        assert list(stored(store)) == [receipts[2].message_id]
        for number, first in enumerate(receipts):
            repeat = add_for(store, key=f"k{number}")
            assert (repeat.message_id, repeat.duplicate) == (first.message_id, True)
        assert store.statistics().deleted == dict.fromkeys(Reason, 0)
    # With the times of deletion: so the target forgets them when the source would have.
    assert tombstones(pair.target) == tombstones(pair.source)


def test_what_was_deleted_in_the_target_stays_deleted(pair: Pair) -> None:
    """The message is still in the source, and a run says so."""
    kept, gone = (add(pair.store, b"x") for _ in range(2))
    copied(pair.source, pair.target)
    with closing(open_store(pair.target)) as store:
        store.remove([gone], Reason.REQUEST)
    report = copied(pair.source, pair.target)
    assert (report.there, report.deleted_in_target, report.copied) == (1, 1, 0)
    with closing(open_store(pair.target)) as store:
        assert list(stored(store)) == [kept]


def test_deliveries_keep_their_state_and_attempts(pair: Pair) -> None:
    """Delivered, dead, pending after failures; what is claimed in the source is free there."""
    queue = pair.store.deliveries
    for number in range(4):
        add_for(pair.store, "app", "log", seconds=number)
    for make in (delivered, dead, lambda each: failed(each, 900)):
        [claimed] = claim(queue, "app", 10, limit=1)
        queue.finish([make(claimed)])
    copied(pair.source, pair.target)
    assert pair.copied_contents() == contents(pair.store)
    [held] = claim(queue, "app", 10, limit=1, lease_seconds=80)
    assert copied(pair.source, pair.target).deliveries == 0
    with closing(open_store(pair.target)) as store:
        [free] = claim(store.deliveries, "app", 11)
        assert free.delivery.message_id == held.delivery.message_id
        store.deliveries.forgive([free])
    queue.finish([delivered(held)])
    assert copied(pair.source, pair.target).deliveries == 1
    assert pair.copied_contents() == contents(pair.store)


def test_a_replay_goes_on_behind_the_last_message_that_it_has_processed(pair: Pair) -> None:
    """Also if that one was deleted; what came after the replay isn't part of it."""
    ids = [add(pair.store, b"x") for _ in range(6)]
    queue = pair.store.deliveries
    number = queue.add_replay(Replay("app", recipient=None, rate=5))
    queue.advance_replay(number, 3, at(0))
    add(pair.store, b"later")
    pair.store.remove([ids[2]], Reason.REQUEST)
    for _ in range(2):
        copied(pair.source, pair.target)
    assert pair.copied_contents() == contents(pair.store)
    with closing(open_store(pair.target)) as store:
        [replay] = store.deliveries.replays()
        while store.deliveries.advance_replay(replay.number, 100, at(0)):
            pass
        found = store.deliveries.find(DeliveryQuery(oldest_first=True)).deliveries
        assert [each.message_id for each in found] == ids[:2] + ids[3:]
    while queue.advance_replay(number, 100, at(0)):
        pass
    copied(pair.source, pair.target)
    assert pair.copied_contents() == contents(pair.store)


def test_a_run_that_was_killed_is_made_up_for_by_the_next(pair: Pair) -> None:
    """Wherever it is killed, several times: nothing is there twice, and nothing is missing."""
    draw = random.Random(1)
    work_at_random(pair.store, draw, 20)
    add(pair.store, b"x" * (LARGE_MESSAGE_BYTES + 1), "app")

    def work(_report: Callable[[object], None]) -> None:
        copied(pair.source, pair.target)

    another = pair.new_target()

    def whole(_report: Callable[[object], None]) -> None:
        copied(pair.source, another)

    steps = steps_of(whole)
    for _ in range(rounds(8, 3)):
        killed_at(draw.randrange(steps), work)
    killed_after(work)
    assert pair.copied_contents() == contents(pair.store)


def test_a_store_is_not_copied_to_itself(pair: Pair) -> None:
    """It is refused before anything is written."""
    add(pair.store, b"x")
    pair.store.close()
    with pytest.raises(StorageUnavailable, match="itself"):
        copied(pair.source, pair.source)


def test_the_way_back_ends_where_it_began(pair: Pair) -> None:
    """What was received and deleted in the target meanwhile is copied back."""
    work_at_random(pair.store, random.Random(2), 20)
    first = next(iter(stored(pair.store)))
    copied(pair.source, pair.target)
    pair.store.close()
    with closing(open_store(pair.target)) as store:
        add(store, b"received in the target", "app")
        store.remove([first], Reason.REQUEST)
        expected = contents(store)
    report = copied(pair.target, pair.source)
    assert (report.copied, report.removed) == (1, 1)
    with closing(open_store(pair.source)) as store:
        assert contents(store) == expected
