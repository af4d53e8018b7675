"""What every MessageStore does; each test runs against each of them."""

import hashlib
import itertools
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.stores import STORES, new_store

from app.errors import MessageNotFound
from app.storage.body import Body
from app.storage.ids import new_message_id
from app.storage.interface import MessageStore, Query
from app.storage.message import (
    Envelope,
    Message,
    Reason,
    Receipt,
    SMTPClient,
    Statistics,
    StoredMessage,
)
from app.storage.segments.spooled_body import LARGE_MESSAGE_BYTES

START = datetime(2026, 3, 1, 12, 0, 0, 1000, tzinfo=UTC)
ENVELOPE = Envelope("ann@example.com", "bob@example.com")
_keys = itertools.count()


def message(
    *, key: str = "", seconds: float = 0, envelope: Envelope = ENVELOPE, subject: str = ""
) -> Message:
    at = START + timedelta(seconds=seconds)
    return Message(new_message_id(at), at, envelope, subject, key or f"key-{next(_keys)}")


def body(store: MessageStore, raw: bytes, chunk_bytes: int = 64 * 1024) -> Body:
    filled = store.new_body()
    for start in range(0, len(raw), chunk_bytes):
        filled.write(raw[start : start + chunk_bytes])
    return filled


def add(store: MessageStore, new: Message, raw: bytes = b"Subject: x\r\n\r\n") -> Receipt:
    return store.add(new, body(store, raw))


def ids(found: Iterator[StoredMessage]) -> list[str]:
    return [each.message_id for each in found]


def test_a_message_is_found_as_it_was_added(store: MessageStore) -> None:
    """Every member of message and envelope comes back equal, with size and checksum."""
    client = SMTPClient("192.0.2.1", "host.example", "helo.example")
    envelope = Envelope("", "bücher@bücher.example", client, "<>", "4TBk1z")
    new = message(envelope=envelope, subject="Grüße \U0001f600")
    raw = b"Subject: x\r\n\r\nBody\r\n"

    assert add(store, new, raw) == Receipt(new.message_id, new.received_at, duplicate=False)
    found = store.get(new.message_id)
    assert found == StoredMessage(
        number=found.number,
        message_id=new.message_id,
        received_at=new.received_at,
        envelope=envelope,
        subject="Grüße \U0001f600",
        size=len(raw),
        sha256=hashlib.sha256(raw).digest(),
    )
    assert store.read(new.message_id) == raw


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"x",
        bytes(1000),
        bytes(range(256)) * 5,
        b"a\rb\nc\r\n\r\n.\r\n",
        random.Random(1).randbytes(LARGE_MESSAGE_BYTES - 1),
        random.Random(2).randbytes(LARGE_MESSAGE_BYTES),
        random.Random(3).randbytes(LARGE_MESSAGE_BYTES + 1),
        random.Random(4).randbytes(5 * LARGE_MESSAGE_BYTES + 17),
    ],
    ids=lambda raw: f"{len(raw)}-{raw[:4]!r}",
)
def test_stored_bytes_equal_received_bytes(store: MessageStore, raw: bytes) -> None:
    """NULs, 8-bit bytes, bare line ends: of small and large messages every byte comes back."""
    before, new, after = message(), message(), message()
    add(store, before, b"before")
    add(store, new, raw)
    add(store, after, b"after")
    assert store.read(new.message_id) == raw
    found, read = store.find(new.message_id)
    assert (found, read()) == (store.get(new.message_id), raw)
    assert (store.read(before.message_id), store.read(after.message_id)) == (b"before", b"after")


@pytest.mark.parametrize("chunk_bytes", [1, 1000, 10**7])
def test_the_cut_into_chunks_does_not_matter(store: MessageStore, chunk_bytes: int) -> None:
    """A body of many small pieces, more than one system call takes, or of one is the same."""
    raw, new = random.Random(5).randbytes(3000 * min(chunk_bytes, 1000)), message()
    store.add(new, body(store, raw, chunk_bytes))
    assert store.read(new.message_id) == raw


@pytest.mark.parametrize("size", [10, 2 * LARGE_MESSAGE_BYTES])
def test_a_repeat_gets_the_first_receipt(store: MessageStore, size: int) -> None:
    """The same key again is answered with the first id and time, and the first bytes stay."""
    first = message(key="same")
    repeat = message(key="same", seconds=60)
    add(store, first, b"1" * size)

    assert add(store, repeat, b"2" * size) == Receipt(
        first.message_id, first.received_at, duplicate=True
    )
    assert store.read(first.message_id) == b"1" * size
    assert ids(store.search(Query())) == [first.message_id]
    with pytest.raises(MessageNotFound):
        store.get(repeat.message_id)


def test_of_sixteen_threads_one_stores(store: MessageStore) -> None:
    """The same key from 16 threads at once: one message, one first receipt, 15 duplicates."""
    barrier = threading.Barrier(16)

    def arrive(number: int) -> Receipt:
        new, filled = message(key="same", seconds=number), body(store, str(number).encode() * 9)
        barrier.wait()
        return store.add(new, filled)

    with ThreadPoolExecutor(16) as pool:
        receipts = list(pool.map(arrive, range(16)))

    assert sorted(receipt.duplicate for receipt in receipts) == [False] + [True] * 15
    assert len({(receipt.message_id, receipt.stored_at) for receipt in receipts}) == 1
    assert store.count(Query()) == 1


def test_threads_do_not_mix_their_bytes(store: MessageStore) -> None:
    """16 threads that store different messages at once, small and large, get each whole."""

    def arrive(number: int) -> tuple[str, bytes]:
        new, raw = message(), bytes([number]) * (1000 if number % 8 else LARGE_MESSAGE_BYTES + 1)
        add(store, new, raw)
        return new.message_id, raw

    with ThreadPoolExecutor(16) as pool:
        stored = list(pool.map(arrive, range(64)))
    assert all(store.read(message_id) == raw for message_id, raw in stored)
    assert store.count(Query()) == 64


@pytest.mark.parametrize("size", [10, 2 * LARGE_MESSAGE_BYTES])
def test_a_discarded_body_leaves_nothing(store: MessageStore, tmp_path: Path, size: int) -> None:
    """What was begun and discarded is no message and takes no space, also when done twice."""
    begun = body(store, b"x" * size)
    begun.discard()
    begun.discard()
    assert list(store.search(Query())) == []
    assert [path for path in tmp_path.rglob("*.segment") if path.stat().st_size] == []


@pytest.mark.parametrize("size", [10, 2 * LARGE_MESSAGE_BYTES])
def test_discarding_after_add_takes_nothing_away(store: MessageStore, size: int) -> None:
    """The store has taken the body over: discarding it later can't harm the message."""
    new, filled = message(), body(store, b"x" * size)
    store.add(new, filled)
    filled.discard()
    assert store.read(new.message_id) == b"x" * size


@pytest.mark.parametrize(
    "unknown", ["", "nothing", "../../etc/passwd", "019ca945-0a01-7b76-84b5-b2a9a8215155"]
)
def test_an_unknown_id_is_not_found(store: MessageStore, unknown: str) -> None:
    """Neither the row nor the bytes of an id that isn't there."""
    add(store, message())
    with pytest.raises(MessageNotFound):
        store.get(unknown)
    with pytest.raises(MessageNotFound):
        store.read(unknown)


def test_ids_are_found_by_their_prefix(store: MessageStore) -> None:
    """In ascending order, up to the limit; no character in the prefix is a wildcard."""
    found = sorted(add(store, message(seconds=number)).message_id for number in (0, 0, 1, 3600))
    assert store.ids_with_prefix(found[0], 2) == [found[0]]
    assert store.ids_with_prefix(found[0][:13], 9) == found[:2]  # 48 bits of the time
    assert store.ids_with_prefix("", 3) == found[:3]
    assert store.ids_with_prefix(found[3][:10], 2) == [found[3]]
    for none in (found[0] + "0", "%", "_" * 36, "019%", "g", found[0].upper()):
        assert store.ids_with_prefix(none, 2) == []


def test_recipients_are_compared_without_ascii_case(store: MessageStore) -> None:
    """A search finds Bob however his address is written, and nobody else."""
    bob = message(envelope=Envelope("a@b", "Bob@Example.com"))
    umlaut = message(envelope=Envelope("a@b", "BÜ@example.com"))
    for new in (bob, umlaut, message(envelope=Envelope("bob@example.com", "carl@example.com"))):
        add(store, new)
    for recipient in ("bob@example.com", "BOB@EXAMPLE.COM", "Bob@Example.com"):
        assert ids(store.search(Query(recipient=recipient))) == [bob.message_id]
    assert ids(store.search(Query(recipient="bÜ@EXAMPLE.com"))) == [umlaut.message_id]
    for recipient in ("bü@example.com", "bob@example.co", "bob@example_com", "%", ""):
        assert list(store.search(Query(recipient=recipient))) == []


@pytest.mark.parametrize("oldest_first", [False, True])
def test_search_is_bounded_by_time(store: MessageStore, oldest_first: bool) -> None:
    """`since` is included, `until` isn't, to the millisecond, in both orders."""
    arrivals = [message(seconds=number / 1000) for number in range(5)]
    for new in arrivals:
        add(store, new)
    since, until = arrivals[1].received_at, arrivals[4].received_at
    expected = [new.message_id for new in arrivals]

    def found(query_since: datetime | None, query_until: datetime | None) -> list[str]:
        query = Query(since=query_since, until=query_until, oldest_first=oldest_first)
        assert store.count(query) == len(list(store.search(query)))
        listed = ids(store.search(query))
        return listed if oldest_first else listed[::-1]

    assert found(None, None) == expected
    assert found(since, None) == expected[1:]
    assert found(None, until) == expected[:4]
    assert found(since, until) == expected[1:4]
    assert found(since, since) == []
    assert found(datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)) == expected


@pytest.mark.parametrize("limit", [0, 1, 499, 500, 501, 1000, 1001, 1002, None])
@pytest.mark.parametrize("oldest_first", [False, True])
def test_search_goes_on_beyond_a_page(
    crowded: tuple[MessageStore, list[str]], limit: int | None, oldest_first: bool
) -> None:
    """1,001 messages come each once and in order, and `limit` cuts at any number."""
    store, arrivals = crowded
    expected = arrivals if oldest_first else arrivals[::-1]
    query = Query(limit=limit, oldest_first=oldest_first)
    assert ids(store.search(query)) == expected[:limit]
    assert store.count(query) == len(expected[:limit])


@pytest.fixture(scope="module", params=STORES)
def crowded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[MessageStore, list[str]]]:
    """Return a store with 1,001 messages, and their ids in the order of arrival.

    They didn't arrive in the order of their times.
    """
    with new_store(request.param, tmp_path_factory.mktemp("crowded"), request) as store:
        arrivals = [message(seconds=number) for number in range(1001)]
        random.Random(6).shuffle(arrivals)
        for new in arrivals:
            add(store, new)
        yield store, [new.message_id for new in arrivals]


def test_a_limit_counts_what_matches(store: MessageStore) -> None:
    """Messages that a query passes over don't use its limit up."""
    for number in range(10):
        recipient = "bob@example.com" if number % 2 else "carl@example.com"
        add(store, message(seconds=number, envelope=Envelope("a@b", recipient)))
    assert len(list(store.search(Query(recipient="bob@example.com", limit=4)))) == 4
    assert store.count(Query(recipient="bob@example.com", limit=4)) == 4
    assert store.count(Query(recipient="bob@example.com")) == 5


def test_a_healthy_store_passes_its_check(store: MessageStore) -> None:
    """Nothing is raised, and the check leaves no message behind."""
    store.check()
    assert store.count(Query()) == 0


@pytest.mark.parametrize("size", [10, 2 * LARGE_MESSAGE_BYTES])
def test_a_removed_message_is_gone(store: MessageStore, size: int) -> None:
    """Nothing finds it any more, a second removal included, and its neighbours stay whole."""
    before, removed, after = (message(seconds=number) for number in range(3))
    for new in (before, removed, after):
        add(store, new, new.message_id.encode() * size)
    _, read = store.find(removed.message_id)

    assert store.remove([removed.message_id], Reason.REQUEST) == [removed.message_id]
    store.erase()
    for ask in (store.get, store.read, lambda _: read()):
        with pytest.raises(MessageNotFound):
            ask(removed.message_id)
    assert store.remove([removed.message_id], Reason.REQUEST) == []
    assert ids(store.search(Query())) == [after.message_id, before.message_id]
    assert store.count(Query()) == 2
    for new in (before, after):
        assert store.read(new.message_id) == new.message_id.encode() * size


def test_many_are_removed_at_once(store: MessageStore) -> None:
    """Unknown ids among them, and ids that are named twice, make no difference."""
    added = [message() for _ in range(1001)]
    for new in added:
        add(store, new, b"x" * 100)
    gone = [new.message_id for new in added[1:]]
    removed = store.remove([*gone, "unknown", *gone], Reason.RETENTION)
    assert sorted(removed) == sorted(gone)
    assert ids(store.search(Query())) == [added[0].message_id]


def test_removing_an_unknown_id_takes_nothing(store: MessageStore) -> None:
    """What is stored stays."""
    add(store, message())
    unknown = ["", "%", "nothing", new_message_id(START)]
    assert store.remove(unknown, Reason.REQUEST) == []
    assert store.remove([], Reason.REQUEST) == []
    assert store.count(Query()) == 1


def test_a_repeat_of_a_removed_message_is_recognized(store: MessageStore) -> None:
    """It gets the first receipt, until the deletion is forgotten: then it is stored anew."""
    first, second = message(key="same"), message(key="same", seconds=1)
    add(store, first, b"1")
    store.remove([first.message_id], Reason.REQUEST)
    store.forget_deleted(before=datetime(2026, 1, 1, tzinfo=UTC))
    assert add(store, second, b"2") == Receipt(first.message_id, first.received_at, duplicate=True)
    assert store.count(Query()) == 0

    store.forget_deleted(before=datetime(9999, 1, 1, tzinfo=UTC))
    assert add(store, second, b"2") == Receipt(
        second.message_id, second.received_at, duplicate=False
    )
    assert store.read(second.message_id) == b"2"


def test_of_many_threads_one_removes(store: MessageStore) -> None:
    """The same id from eight threads at once: one has removed it, the others find nothing."""
    new = message()
    add(store, new)
    barrier = threading.Barrier(8)

    def remove(_: int) -> list[str]:
        barrier.wait()
        return store.remove([new.message_id], Reason.REQUEST)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(map(len, pool.map(remove, range(8)))) == [0] * 7 + [1]
    assert store.count(Query()) == 0


def test_numbers_tell_the_order_of_arrival(store: MessageStore) -> None:
    """Whatever time and id a message has; a removed one leaves a gap that nothing fills."""
    arrivals = [message(seconds=-number) for number in range(5)]
    for new in arrivals:
        add(store, new)
    found = list(store.search(Query(oldest_first=True)))
    assert [each.message_id for each in found] == [new.message_id for new in arrivals]
    numbers = [each.number for each in found]
    assert numbers == sorted(set(numbers))

    store.remove([arrivals[-1].message_id], Reason.REQUEST)
    last = message()
    add(store, last)
    assert store.get(last.message_id).number > numbers[-1]
    after = Query(after=numbers[2], oldest_first=True)
    assert ids(store.search(after)) == [arrivals[3].message_id, last.message_id]
    assert ids(store.search(Query(before=numbers[2]))) == [
        arrivals[1].message_id,
        arrivals[0].message_id,
    ]


def test_retention_has_its_turn_again_and_again(store: MessageStore) -> None:
    """The turn of one host, the only one here, ends with the context."""
    for _ in range(2):
        with store.retention_turn() as is_ours:
            assert is_ours


def test_the_figures_are_those_of_what_is_stored(store: MessageStore) -> None:
    """Messages and their bytes; deletions by reason; when retention ran."""
    added = [message() for _ in range(5)]
    for number, new in enumerate(added):
        add(store, new, b"x" * number)
    add(store, message(key=added[4].idempotency_key), b"x" * 4)  # a repeat
    assert store.statistics() == Statistics(
        5, 10, {Reason.REQUEST: 0, Reason.RETENTION: 0}, 0, None, 0
    )
    store.remove([added[4].message_id], Reason.REQUEST)
    store.remove([new.message_id for new in added[:2]], Reason.RETENTION)
    store.note_retention(START, 3)
    assert store.statistics() == Statistics(
        2, 5, {Reason.REQUEST: 1, Reason.RETENTION: 2}, 0, START, 3
    )
