"""Every text comes back as it was, and is found, though PostgreSQL has no NUL."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.store import AT

from app.storage.ids import new_message_id
from app.storage.interface import Query
from app.storage.message import Envelope, Message, SMTPClient
from app.storage.postgresql.store import PostgreSQLStore
from app.storage.postgresql.texts import original_text, stored_key, stored_text

ODD = "\0\U0010fffd\U0010fffe\U0010ffff"
TEXTS = st.text(st.sampled_from(ODD + "ab")) | st.text()
FULL = Envelope(
    "ann@example.com",
    "bob@example.com",
    SMTPClient("192.0.2.1", "host.example", "helo.example"),
    "<ann@example.com>",
    "4TBk1z",
)


@given(TEXTS)
def test_a_stored_text_has_no_nul_and_comes_back(text: str) -> None:
    """Also texts with the characters that NUL is written with."""
    stored = stored_text(text)
    assert "\0" not in stored
    assert original_text(stored) == text


def test_a_stored_text_contains_what_the_original_contains() -> None:
    """So a subject is found by its parts, and by nothing else; all short texts are tried."""
    chosen = [itertools.product(ODD + "a", repeat=size) for size in range(4)]
    texts = list(map("".join, itertools.chain.from_iterable(chosen)))
    for text, part in itertools.product(texts, [each for each in texts if len(each) < 3]):
        assert (stored_text(part) in stored_text(text)) == (part in text)


@given(TEXTS, TEXTS)
def test_different_keys_stay_different(one: str, other: str) -> None:
    """Long ones too, of which a digest is kept."""
    assert (stored_key(one) == stored_key(other)) == (one == other)
    assert stored_key("x" * 3000 + one) != stored_key("x" * 3000 + one + "y")


def add(
    store: PostgreSQLStore, envelope: Envelope, subject: str = "", key: str = "", *names: str
) -> str:
    message = Message(new_message_id(AT), AT, envelope, subject, key or subject, names)
    body = store.new_body()
    body.write(b"\r\n")
    return store.add(message, body).message_id


@pytest.mark.parametrize(
    "odd",
    [ODD, "\0", "a\0b", "\\000", "'\"%s {NULL}", "\x01\x1a\x7f\x80\u2028\ufeff\ufffd", "é e\u0301"],
)
def test_odd_characters_come_back_in_every_field(store: PostgreSQLStore, odd: str) -> None:
    """They are found by them, and a repeat is recognized by a key that has some."""
    envelope = Envelope(f"{odd}@a.example", f"{odd}@b.example", SMTPClient(odd, odd, odd), odd, odd)
    message_id = add(store, envelope, f"A {odd} b", odd, odd)
    add(store, FULL, "other")
    found = store.get(message_id)
    assert (found.envelope, found.subject) == (envelope, f"A {odd} b")
    for query in (
        Query(sender=envelope.sender),
        Query(recipient=envelope.recipient),
        Query(subject=f"a {odd}"),
        Query(queue_id=odd),
    ):
        assert list(store.search(query)) == [found]
    assert add(store, FULL, "again", odd) == message_id


@pytest.mark.parametrize(
    ("envelope", "subject"),
    [
        (replace(FULL, sender="\ud800@a.example"), ""),
        (replace(FULL, recipient="\ud800@a.example"), ""),
        (replace(FULL, mail_from="\ud800"), ""),
        (replace(FULL, queue_id="\ud800"), ""),
        (replace(FULL, connection=SMTPClient(helo="\ud800")), ""),
        (FULL, "\ud800"),
    ],
    ids=["sender", "recipient", "mail_from", "queue_id", "helo", "subject"],
)
def test_what_is_no_text_is_refused_alone(
    store: PostgreSQLStore, envelope: Envelope, subject: str
) -> None:
    """A surrogate can't be encoded: an error of the caller, as in other stores."""
    with pytest.raises(UnicodeEncodeError):
        add(store, envelope, subject)
    assert store.count(Query()) == 0


def test_keys_longer_than_an_index_takes_are_stored(store: PostgreSQLStore) -> None:
    """A recipient of 998 characters of four bytes is found whole; so is a long key."""
    recipients = [
        "".join(chr(0x20000 + (place * 7919 + seed) % 9999) for place in range(986)) + "@b.example"
        for seed in (0, 1)
    ]
    ids = [add(store, Envelope("", recipient), key=recipient * 3) for recipient in recipients]
    for message_id, recipient in zip(ids, recipients, strict=True):
        [found] = store.search(Query(recipient=recipient.replace("@b", "@B")))
        assert (found.message_id, found.envelope.recipient) == (message_id, recipient)
        assert add(store, FULL, key=recipient * 3) == message_id
