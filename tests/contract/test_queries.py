"""Queries, pages and arrivals, which every MessageStore must handle in the same way."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.storage.ids import new_message_id
from app.storage.interface import Arrivals, MessageStore, Page, Query
from app.storage.message import Envelope, Message, Reason

START = datetime(2026, 3, 1, 12, 0, 0, 1000, tzinfo=UTC)
_keys = itertools.count()


def add(
    store: MessageStore,
    raw: bytes = b"Subject: x\r\n\r\n",
    *,
    seconds: float = 0,
    sender: str = "ann@example.com",
    recipient: str = "bob@example.com",
    queue_id: str | None = None,
    subject: str = "",
) -> str:
    at = START + timedelta(seconds=seconds)
    envelope = Envelope(sender, recipient, queue_id=queue_id)
    body = store.new_body()
    body.write(raw)
    message = Message(new_message_id(at), at, envelope, subject, f"key-{next(_keys)}")
    return store.add(message, body).message_id


def found(store: MessageStore, **query: object) -> list[str]:
    """Return the matching ids, oldest first; `search`, `count` and `page` must agree on them."""
    asked = Query(oldest_first=True, **query)  # type: ignore[arg-type]
    ids = [each.message_id for each in store.search(asked)]
    assert [each.message_id for each in store.search(replace(asked, oldest_first=False))][
        ::-1
    ] == ids
    assert store.count(asked) == len(ids)
    assert [each.message_id for page in pages(store, asked, 3, 5) for each in page.messages] == ids
    return ids


def pages(store: MessageStore, query: Query, limit: int, most: int) -> Iterator[Page]:
    """Yield all pages in order."""
    while True:
        page = store.page(replace(query, limit=limit), most)
        assert len(page.messages) <= limit
        yield page
        if not page.has_more:
            return
        assert page.position is not None
        if query.oldest_first:
            query = replace(query, after=page.position)
        else:
            query = replace(query, before=page.position)


def test_senders_are_compared_as_recipients_are(store: MessageStore) -> None:
    """ASCII case, the two forms of a domain and a final dot don't matter; non-ASCII case does."""
    ann = add(store, sender="Ann@Example.com")
    umlaut = add(store, sender="BÜ@Bücher.example")
    dot = add(store, sender="carl@example.com.")
    bounce = add(store, sender="")
    assert found(store, sender="aNN@EXAMPLE.com") == [ann]
    assert found(store, sender="bü@xn--bcher-kva.example") == []
    assert found(store, sender="BÜ@xn--bcher-kva.EXAMPLE") == [umlaut]
    assert found(store, sender="BÜ@BÜCHER.example") == [umlaut]
    assert found(store, sender="carl@example.com") == [dot]
    assert found(store, sender="") == [bounce]
    for nobody in ("ann", "%", "*", "bob@example.com"):
        assert found(store, sender=nobody) == []


def test_a_part_of_the_subject_is_enough(store: MessageStore) -> None:
    """In any case and script; no character in it is a wildcard."""
    street = add(store, subject="Die STRASSE nach Ω")
    percent = add(store, subject="100% sure_thing")
    for part in ("straße", "Strasse", "die", "ω", "e N"):
        assert found(store, subject=part) == [street]
    for part in ("100%", "sure_", "E_T"):
        assert found(store, subject=part) == [percent]
    for part in ("e%h", "s_re", "*", "nothing"):
        assert found(store, subject=part) == []


def test_a_queue_id_is_found_whole(store: MessageStore) -> None:
    """And only in its own case; a message without a queue id never matches."""
    add(store)
    first, second = add(store, queue_id="4TBk1z"), add(store, queue_id="4TBk1z")
    assert found(store, queue_id="4TBk1z") == [first, second]
    assert found(store, queue_id="4tbk1z") == found(store, queue_id="4TBk") == []


@pytest.mark.parametrize(
    "head",
    [
        b"Message-ID: <a@example.com>\r\n",
        b"\xef\xbb\xbfmessage-id:\n <a@example.com>\n",
        b"Message-Id: a@example.com\r\n",
        b"X: " + b"x" * 70 + b"\r\nMessage-ID: <a@example.com>\r\nMessage-ID: <b@example.com>\r\n",
        (b"X: " + b"x" * 70 + b"\r\n") * 900 + b"Message-ID: <a@example.com>\r\n",
        b"X: " + b"x" * (16 * 1024 - 24) + b"\r\nMessage-ID: <a@example.com>\r\n",
    ],
    ids=["usual", "folded", "bare", "first", "late", "across"],
)
@pytest.mark.parametrize("body", [b"short", b"x" * 2_000_000], ids=["short", "long"])
def test_a_message_is_found_by_its_own_id(store: MessageStore, head: bytes, body: bytes) -> None:
    """In any spelling, anywhere in the header section; the body and other fields don't count."""
    add(store, b"Subject: x\r\n\r\nMessage-ID: <a@example.com>\r\n")
    add(store, b"References: <a@example.com>\r\n\r\n")
    wanted = add(store, head + b"\r\n" + body)
    assert found(store, header_message_id="a@example.com") == [wanted]
    assert found(store, header_message_id="A@example.com") == []
    assert found(store, header_message_id="b@example.com") == []


def test_all_conditions_have_to_be_met(store: MessageStore) -> None:
    """Each condition alone matches several messages, all together match one."""
    raw = b"Message-ID: <a@example.com>\r\n\r\n"
    variants = {
        "sender": "carl@example.com",
        "recipient": "carl@example.com",
        "queue_id": "B",
        "subject": "other",
        "seconds": 60,
    }
    given: dict[str, Any] = {
        "sender": "ann@example.com",
        "recipient": "bob@example.com",
        "queue_id": "A",
    }
    for name, value in variants.items():
        add(store, raw, **given | {"subject": "Hello", name: value})
    add(store, b"\r\n", subject="Hello", **given)
    wanted = add(store, raw, subject="Hello", **given)
    until = START + timedelta(seconds=1)
    assert found(
        store, **given, subject="hell", header_message_id="a@example.com", until=until
    ) == [wanted]


@pytest.mark.parametrize("oldest_first", [False, True])
def test_pages_go_through_everything_once(store: MessageStore, oldest_first: bool) -> None:
    """A page that ends at the scan limit is continued from there."""
    ids = [add(store, subject="x" if number % 7 == 3 else "") for number in range(40)]
    expected = [each for number, each in enumerate(ids) if number % 7 == 3]
    if not oldest_first:
        expected.reverse()
    for limit, most in itertools.product([1, 2, 50], [1, 3, 40, 1000]):
        query = Query(subject="X", oldest_first=oldest_first)
        made = list(pages(store, query, limit, most))
        assert [each.message_id for page in made for each in page.messages] == expected
        assert all(page.position is not None for page in made[:-1])
        assert len(made) >= 40 / most


def test_a_page_says_whether_there_is_more(store: MessageStore) -> None:
    """At the last message, after it, and in an empty store."""
    assert store.page(Query(limit=2), 100) == Page([], None, has_more=False)
    assert store.page(Query(limit=2, subject="x"), 100).position is None
    for _ in range(3):
        add(store)
    numbers = [each.number for each in store.search(Query(oldest_first=True))]
    for limit, has_more in [(2, True), (3, False), (4, False)]:
        page = store.page(Query(limit=limit, oldest_first=True), 100)
        assert (page.position, page.has_more) == (numbers[min(limit, 3) - 1], has_more)
    passed = store.page(Query(limit=2, oldest_first=True, subject="x"), 100)
    assert (passed.messages, passed.position, passed.has_more) == ([], numbers[-1], False)


def test_times_are_compared_exactly(store: MessageStore) -> None:
    """Messages have milliseconds; the times in a query may have microseconds."""
    ids = [add(store, seconds=number / 1000) for number in range(3)]
    assert found(store, since=START + timedelta(microseconds=1)) == ids[1:]
    assert found(store, until=START + timedelta(microseconds=1)) == ids[:1]
    assert found(store, since=datetime.max.replace(tzinfo=UTC)) == []
    assert found(store, until=datetime.min.replace(tzinfo=UTC)) == []


def test_a_time_range_includes_messages_stored_out_of_order(store: MessageStore) -> None:
    """Messages stored long before or after their time of receipt are found, as after a restore."""
    now = datetime.now(UTC).replace(microsecond=0)
    seconds = [(now - START).total_seconds() + offset for offset in (0, -90000, 5, 86400, 0, -30)]
    ids = [add(store, seconds=each) for each in seconds]
    assert found(store, since=now, until=now + timedelta(seconds=6)) == [ids[0], ids[2], ids[4]]
    assert found(store, since=now) == [ids[0], ids[2], ids[3], ids[4]]
    assert found(store, until=now) == [ids[1], ids[5]]
    assert found(store, until=now, recipient="bob@example.com", subject="") == [ids[1], ids[5]]
    assert found(store, since=now, sender="nobody@example.com") == []


def test_arrivals_name_the_recipients(store: MessageStore) -> None:
    """Each message is reported once, to a caller that passes on the last number."""
    assert store.arrivals(None) == Arrivals(0, frozenset())
    add(store, recipient="Bob@Example.com")
    first = store.arrivals(None)
    assert first.recipients == frozenset()
    assert store.arrivals(first.number) == first
    assert store.arrivals(0) == Arrivals(first.number, frozenset({"bob@example.com"}))
    add(store, recipient="carl@example.com")
    add(store, recipient="carl@bücher.example")
    second = store.arrivals(first.number)
    assert second.recipients == {"carl@example.com", "carl@xn--bcher-kva.example"}
    assert second.number > first.number


def test_a_watch_notices_additions_and_deletions(store: MessageStore) -> None:
    """The version changes when a message is stored or deleted, and only then."""
    with store.watch() as version:
        before = version()
        assert version() == before
        message_id = add(store)
        stored = version()
        assert stored != before
        list(store.search(Query()))
        assert version() == stored
        store.remove([message_id], Reason.REQUEST)
        assert version() != stored


def test_a_store_keeps_its_identity(store: MessageStore) -> None:
    """The identity has 8 bytes, and storing messages doesn't change it."""
    identity = store.identity()
    add(store)
    assert store.identity() == identity
    assert len(identity) == 8
