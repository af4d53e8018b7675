"""What retention deletes, in which pieces, with which pauses."""

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.clock import Clock
from support.deliveries import attempt, claim, dead, delivered

from app.errors import MessageNotFound, StorageUnavailable
from app.retention.expiry import (
    ATTEMPT_DAYS,
    LONG_RUN_SECONDS,
    PAUSES_A_PIECE,
    PAUSES_IN_A_LONG_RUN,
    PIECE_MESSAGES,
    Expiry,
)
from app.settings.model import Retention
from app.storage.delivery import Delivery, DeliveryQuery, Result, State
from app.storage.ids import new_message_id
from app.storage.interface import MessageStore, Query
from app.storage.memory import MemoryStore
from app.storage.message import Envelope, Message, Reason, StoredMessage
from app.storage.sqlite.creation import create_store

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEEP = Retention(days=0, max_bytes=0, deduplication_days=7)


def add(
    store: MessageStore,
    days_old: float,
    size: int = 10,
    content: bytes = b"x",
    endpoints: tuple[str, ...] = (),
) -> str:
    """Store a message that was received `days_old` ago, and return its id."""
    at = NOW - timedelta(days=days_old)
    name = new_message_id(at)
    body = store.new_body()
    body.write(content * size)
    store.add(Message(name, at, Envelope("a@b", "c@d"), "", name, endpoints), body)
    return name


def days(count: int) -> Retention:
    """Return limits of age."""
    return Retention(days=count, max_bytes=0, deduplication_days=7)


def size(most: int) -> Retention:
    """Return limits of size."""
    return Retention(days=0, max_bytes=most, deduplication_days=7)


def run(store: MessageStore, limits: Retention, at: datetime = NOW) -> None:
    """Run retention once, without pauses."""
    Expiry(store, limits, lambda: at, lambda: 0.0, lambda _: None).run()


def forget(store: MessageStore, at: datetime) -> None:
    """Forget deletions of long ago, with the default of deduplication_days."""
    Expiry(store, KEEP, lambda: at, lambda: 0.0, lambda _: None).forget()


def left(store: MessageStore) -> list[str]:
    """Return the ids of what is stored, the first to arrive first."""
    return [each.message_id for each in store.search(Query(oldest_first=True))]


def test_what_is_older_goes(store: MessageStore) -> None:
    """To the millisecond, in whichever order it arrived; what remains is untouched."""
    exactly = add(store, 30)
    older = add(store, 30 + 1e-6)
    newer = add(store, 29)
    ancient = add(store, 3000)
    run(store, days(30))
    assert left(store) == [exactly, newer]
    for gone in (older, ancient):
        with pytest.raises(MessageNotFound):
            store.read(gone)
    assert store.read(newer) == b"x" * 10
    assert store.statistics().deleted == {Reason.RETENTION: 2, Reason.REQUEST: 0}


def test_the_oldest_go_until_the_rest_has_room(store: MessageStore) -> None:
    """By the time they were received, not by the order of arrival; not one more than needed."""
    new = add(store, 1, size=40)
    oldest = add(store, 3, size=40)
    old = add(store, 2, size=40)
    run(store, size(120))
    assert left(store) == [new, oldest, old]
    run(store, size(119))
    assert left(store) == [new, old]
    run(store, size(79))
    assert left(store) == [new]
    assert store.statistics().bytes == 40


def test_both_limits_hold(store: MessageStore) -> None:
    """What is too old goes though there is room, and what has no room though it is new."""
    add(store, 31, size=1)
    add(store, 2, size=60)
    newest = add(store, 1, size=60)
    run(store, Retention(days=30, max_bytes=100, deduplication_days=7))
    assert left(store) == [newest]


def test_what_has_yet_to_be_delivered_stays(store: MessageStore) -> None:
    """Pending or dead, and how many they are is noted; what was delivered or discarded goes."""
    names = [add(store, 31, endpoints=("app", "log")) for _ in range(4)]
    add(store, 31)
    new = add(store, 1, endpoints=("app",))
    queue = store.deliveries
    delivered_to_all, dead_at_one, discarded, pending = names
    queue.discard([each.number for each in of(store, discarded)])
    by_message = {
        (each.delivery.message_id, each.delivery.endpoint): each
        for endpoint in ("app", "log")
        for each in claim(queue, endpoint)
    }
    results = [delivered(by_message[delivered_to_all, name]) for name in ("app", "log")]
    results += [delivered(by_message[dead_at_one, "app"]), dead(by_message[dead_at_one, "log"])]
    queue.finish([*results, delivered(by_message[pending, "log"])])
    run(store, days(30))
    assert left(store) == [dead_at_one, pending, new]
    assert store.statistics().kept_for_delivery == 2

    queue.discard([each.number for each in of(store, dead_at_one)])
    run(store, days(30))
    assert left(store) == [pending, new]
    assert store.statistics().kept_for_delivery == 1


def test_others_go_in_place_of_what_has_yet_to_be_delivered(store: MessageStore) -> None:
    """By size the next ones go; that there isn't room without it is noted."""
    pending = [add(store, 9, size=40, endpoints=("app",)) for _ in range(3 * PIECE_MESSAGES)]
    for _ in range(3 * PIECE_MESSAGES):
        add(store, 5, size=40)
    last = add(store, 1, size=40)
    run(store, size(40 * (len(pending) + 1)))
    assert left(store) == [*pending, last]
    assert store.statistics().kept_for_delivery == 0
    run(store, size(100))
    assert left(store) == pending
    assert store.statistics().kept_for_delivery == len(pending)


def of(store: MessageStore, message_id: str) -> Sequence[Delivery]:
    """Return the deliveries of a message."""
    return store.deliveries.find(DeliveryQuery(message_id=message_id)).deliveries


def test_attempts_are_forgotten_after_thirty_days(store: MessageStore) -> None:
    """What was sent and answered, not what came of it."""
    add(store, 50, endpoints=("app",))
    for seconds in (-1, 0):
        [claimed] = claim(store.deliveries)
        made = replace(attempt(), at=NOW + timedelta(seconds=seconds))
        failure = Result(claimed, State.PENDING, NOW, spends=True, attempt=made, reason="refused")
        store.deliveries.finish([failure])
    forget(store, NOW + timedelta(days=ATTEMPT_DAYS))
    [delivery] = store.deliveries.find(DeliveryQuery()).deliveries
    assert (delivery.attempts, delivery.reason) == (2, "refused")
    assert [each.at for each in store.deliveries.get(delivery.number)[1]] == [NOW]


def test_without_limits_everything_stays(store: MessageStore) -> None:
    """0 is no limit, however old and large; that it ran is noted all the same."""
    kept = [add(store, 10_000, size=100_000) for _ in range(3)]
    run(store, KEEP)
    assert sorted(left(store)) == sorted(kept)
    assert store.statistics().retention_ran_at == NOW


def test_repeats_are_known_for_as_long_as_is_set(store: MessageStore) -> None:
    """A deleted message's repeat is a duplicate for deduplication_days, then a new message."""
    at = datetime.now(UTC)  # a deletion has the time of the machine
    message = Message(new_message_id(at), at, Envelope("a@b", "c@d"), "", "key")
    store.add(message, store.new_body())
    store.remove([message.message_id], Reason.REQUEST)
    forget(store, at + timedelta(days=6.9))
    assert store.add(message, store.new_body()).duplicate
    forget(store, at + timedelta(days=7.1))
    again = Message(new_message_id(at), at, Envelope("a@b", "c@d"), "", "key")
    assert not store.add(again, store.new_body()).duplicate


def test_what_it_deletes_is_erased(data_dir: Path) -> None:
    """When a run has ended, no file has the bytes: neither its own messages nor a command's."""
    with closing(create_store(data_dir)) as store:
        add(store, 31, content=b"overdue")
        asked = add(store, 1, content=b"requested")
        kept = add(store, 1, content=b"kept")
        store.remove([asked], Reason.REQUEST)
        assert files_with(data_dir, b"overdue")
        assert files_with(data_dir, b"requested")
        run(store, days(30))
        assert left(store) == [kept]
        assert files_with(data_dir, b"overdue") == files_with(data_dir, b"requested") == []
        assert files_with(data_dir, b"kept")


def files_with(data_dir: Path, text: bytes) -> list[Path]:
    """Return the files that have `text`."""
    return [path for path in data_dir.rglob("*") if path.is_file() and text in path.read_bytes()]


class Watched(MemoryStore):
    """Notes what retention does, takes a second for each removal, and may fail at one."""

    def __init__(self, timer: Clock[float], failing_call: int = 0) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.looked_after: list[str | None] = []
        self._timer = timer
        self._failing_call = failing_call

    def remove(self, message_ids: Sequence[str], reason: Reason) -> list[str]:
        self._note(f"remove {len(message_ids)}")
        self._timer.now += 1
        return super().remove(message_ids, reason)

    def oldest_done(self, limit: int, after: str | None) -> list[StoredMessage]:
        self.looked_after.append(after)
        return super().oldest_done(limit, after)

    def erase(self) -> None:
        self._note("erase")

    def note_retention(self, at: datetime, kept_for_delivery: int) -> None:
        self._note("note")
        super().note_retention(at, kept_for_delivery)

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if len(self.calls) == self._failing_call:
            raise StorageUnavailable


def test_it_deletes_in_small_pieces_with_pauses(caplog: pytest.LogCaptureFixture) -> None:
    """Each pause is in proportion to what its piece took; then it is erased, and noted."""
    caplog.set_level(logging.INFO)
    timer = Clock(0.0)
    store = Watched(timer)
    for _ in range(2 * PIECE_MESSAGES + 7):
        add(store, 31)
    pauses: list[float] = []
    Expiry(store, days(30), lambda: NOW, timer, pauses.append).run()
    pieces = [f"remove {PIECE_MESSAGES}", f"remove {PIECE_MESSAGES}", "remove 7"]
    assert store.calls == [*pieces, "erase", "note"]
    assert pauses == [PAUSES_A_PIECE] * 3
    assert caplog.messages == [f"Retention has deleted {2 * PIECE_MESSAGES + 7} messages"]


def test_what_becomes_pending_meanwhile_neither_counts_nor_stops_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A whole piece that has to stay is not the end of what is due."""
    caplog.set_level(logging.INFO)
    kept: list[str] = []

    class Deciding(MemoryStore):
        """Has the first piece become pending as it is about to be deleted."""

        def remove(self, message_ids: Sequence[str], reason: Reason) -> list[str]:
            if not kept:
                kept.extend(message_ids)
                return []
            return super().remove(message_ids, reason)

    store = Deciding()
    for _ in range(PIECE_MESSAGES + 3):
        add(store, 31)
    run(store, days(30))
    assert sorted(left(store)) == sorted(kept)
    assert caplog.messages == ["Retention has deleted 3 messages"]


def test_what_stays_is_looked_at_once_a_run() -> None:
    """Each piece begins where the last one ended, however many have yet to be delivered."""
    timer = Clock(0.0)
    store = Watched(timer)
    for _ in range(PIECE_MESSAGES):
        add(store, 40, endpoints=("app",))
    ids = sorted(add(store, 31) for _ in range(2 * PIECE_MESSAGES))
    expiry = Expiry(store, days(30), lambda: NOW, timer, lambda _: None)
    expiry.run()
    assert store.looked_after == [None, ids[PIECE_MESSAGES - 1], ids[-1]]
    expiry.run()
    assert store.looked_after[3:] == [None]


def test_who_has_fallen_behind_hurries() -> None:
    """When a run has lasted for LONG_RUN_SECONDS, mail may be coming faster than it goes."""
    timer = Clock(0.0)
    store = Watched(timer)
    for _ in range(6 * PIECE_MESSAGES):
        add(store, 31)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        timer.now += LONG_RUN_SECONDS / 3

    expiry = Expiry(store, days(30), lambda: NOW, timer, pause)
    expiry.run()
    assert pauses == [PAUSES_A_PIECE] * 3 + [PAUSES_IN_A_LONG_RUN] * 3
    add(store, 31)
    expiry.run()
    assert pauses[6:] == [PAUSES_A_PIECE]


@pytest.mark.parametrize("failing_call", [1, 2, 3, 4])
def test_a_failure_at_any_step_leaves_the_rest_to_the_next_run(failing_call: int) -> None:
    """It isn't noted as a run, and the next one does what is left."""
    timer = Clock(0.0)
    store = Watched(timer, failing_call)
    for _ in range(PIECE_MESSAGES + 1):
        add(store, 31)
    kept = add(store, 1)
    expiry = Expiry(store, days(30), lambda: NOW, timer, lambda _: None)
    with pytest.raises(StorageUnavailable):
        expiry.run()
    assert store.statistics().retention_ran_at is None
    expiry.run()
    assert left(store) == [kept]
    assert store.statistics().deleted[Reason.RETENTION] == PIECE_MESSAGES + 1
    assert store.statistics().retention_ran_at == NOW
    assert store.calls[-2:] == ["erase", "note"]
