from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.segment_records import deletion, expected_message, message, record_of

from app.storage.message import Envelope, Message, SMTPClient
from app.storage.segments.record import (
    DELETION,
    HEADER_BYTES,
    MESSAGE,
    MOST_DESCRIPTION_BYTES,
    Deletion,
    Header,
    MessageRecord,
    description_of,
    description_of_deletion,
    entry_of,
    file_header,
    header,
    is_broken_off,
    parse_header,
)

MARKER = bytes(range(1, 17))
MOST = 2**64 - 1
YEAR_2200_MS = 7_258_118_400_000

text = st.text(st.characters(codec="utf-8"), max_size=50)
maybe = st.none() | text
messages = st.builds(
    Message,
    message_id=text,
    received_at=st.integers(0, YEAR_2200_MS).map(
        lambda milliseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    ),
    envelope=st.builds(
        Envelope, text, text, st.builds(SMTPClient, maybe, maybe, maybe), maybe, maybe
    ),
    subject=text,
    idempotency_key=text,
    endpoints=st.lists(text, max_size=3).map(tuple),
)


def parsed(data: bytes) -> Header:
    found = parse_header(MARKER, data)
    assert isinstance(found, Header)
    return found


# docs/storage.md describes these bytes: whoever changes them needs another version.
FILE_BEGINS = (
    b"GoMail segment"  # magic
    b"\x01"  # version
    b"\x01"  # layout: records
    b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"  # marker
)
MESSAGE_BEGINS = (
    b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"  # marker
    b"\x01"  # version
    b"\x01"  # kind: message
    b"\x03\x00"  # position in its group
    b"\x94\x01\x00\x00"  # bytes of the description: 404
    b"\x07\x00\x00\x00\x00\x00\x00\x00"  # bytes of the content
    b"\xff\x00\x00\x00\x00\x00\x00\x00"  # number
    b"\x54\x6d\x7d\x87"  # CRC-32 of all fields above and the description
    b'{"id":"00000000-0000-7000-8000-0000000000ff","received_at_ms":1767323045678,'
    b'"key":"key255","sender":"sender255@example.org","recipient":"recipient@example.com",'
    b'"subject":"Gr\xc3\xbc\xc3\x9fe \\"x\\"",'
    b'"sha256":"ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73",'
    b'"mail_from":"sender255@example.org","queue_id":"4ABCFF","client_address":"192.0.2.1",'
    b'"client_hostname":"client.example","helo":"helo.example"}'
)
DELETION_RECORD = (
    b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"
    b"\x01\x02\x00\x00"
    b"\x57\x00\x00\x00"
    b"\x00\x00\x00\x00\x00\x00\x00\x00"
    b"\x09\x00\x00\x00\x00\x00\x00\x00"
    b"\xbc\x45\x4d\xab"
    b'{"id":"id9","key":"key9","received_at_ms":1000,"deleted_at_ms":2000,"reason":"request"}'
)


def test_the_format_is_fixed() -> None:
    """What is written are these bytes, so that later versions can read what this one wrote."""
    record = record_of(255, b"content", 'Grüße "x"')
    assert file_header(MARKER, 1) == FILE_BEGINS
    assert header(MARKER, MESSAGE, 3, record.description, 7, 255) == MESSAGE_BEGINS
    of_deletion = description_of_deletion(deletion(9))
    assert header(MARKER, DELETION, 0, of_deletion, 0, 9) == DELETION_RECORD


def test_the_fixed_bytes_are_read() -> None:
    """What other versions have written says what it said."""
    found = parsed(MESSAGE_BEGINS + b"content")
    assert (found.position, found.content_bytes) == (3, 7)
    assert entry_of(found) == expected_message(255, b"content", 'Grüße "x"')
    assert entry_of(parsed(DELETION_RECORD)) == deletion(9)


@given(
    messages,
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**16 - 1),
    st.integers(0, MOST),
    st.integers(0, MOST),
)
def test_a_message_is_read_as_it_was_written(
    written: Message, sha256: bytes, position: int, size: int, number: int
) -> None:
    """Every text, absent parts, and the largest numbers come back."""
    description = description_of(written, sha256)
    found = parsed(header(MARKER, MESSAGE, position, description, size, number) + b"content")
    expected = Header(MESSAGE, position, len(description), size, number, description)
    assert found == expected
    assert entry_of(found) == MessageRecord(number, written, size, sha256)


@given(st.builds(Deletion, st.integers(0, MOST), text, text, st.integers(), st.integers(), text))
def test_a_deletion_is_read_as_it_was_written(written: Deletion) -> None:
    """Every text and number comes back."""
    description = description_of_deletion(written)
    found = parsed(header(MARKER, DELETION, 0, description, 0, written.number))
    assert entry_of(found) == written


def test_every_flipped_bit_is_noticed() -> None:
    """Whatever bit of fields, checksum or description changes, it is a record no more."""
    whole = MESSAGE_BEGINS + b"content" * 100
    for bit in range(len(MESSAGE_BEGINS) * 8):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        assert not isinstance(parse_header(MARKER, bytes(data)), Header), bit


def test_it_says_how_many_bytes_it_needs() -> None:
    """At each length it asks for more until the header is whole, and for no more than that."""
    whole = len(MESSAGE_BEGINS)
    for length in range(whole):
        needed = HEADER_BYTES if length < HEADER_BYTES else whole
        assert parse_header(MARKER, MESSAGE_BEGINS[:length]) == needed
    assert isinstance(parse_header(MARKER, MESSAGE_BEGINS), Header)


def test_another_marker_is_no_record() -> None:
    """A record of another segment counts for nothing, however much of it is there."""
    other = bytes(reversed(MARKER))
    for length in range(1, len(MESSAGE_BEGINS)):
        assert parse_header(other, MESSAGE_BEGINS[:length]) is None


def test_a_description_has_a_bound() -> None:
    """A size beyond MOST_DESCRIPTION_BYTES is damage: no memory is taken for it."""
    largest = header(MARKER, MESSAGE, 0, bytes(MOST_DESCRIPTION_BYTES), 0, 1)
    assert isinstance(parse_header(MARKER, largest), Header)
    beyond = header(MARKER, MESSAGE, 0, bytes(MOST_DESCRIPTION_BYTES + 1), 0, 1)
    assert parse_header(MARKER, beyond) is None
    assert parse_header(MARKER, beyond[:HEADER_BYTES]) is None


def test_what_a_write_left_is_told_from_what_is_damaged() -> None:
    """Each beginning of a record breaks off; a whole one doesn't, whatever size it claims."""
    for end in range(HEADER_BYTES, len(MESSAGE_BEGINS)):
        assert is_broken_off(MESSAGE_BEGINS[:end]), end
    assert not is_broken_off(MESSAGE_BEGINS)
    assert not is_broken_off(MESSAGE_BEGINS + b"From: a@example.org\r\n")
    assert not is_broken_off(MESSAGE_BEGINS[:-1] + b"\r\nFrom: a@example.org\r\n")
    assert is_broken_off(MESSAGE_BEGINS[:10])


@given(messages, st.data())
def test_each_beginning_of_a_description_breaks_off(written: Message, data: st.DataObject) -> None:
    """Quotes, braces, backslashes and control characters in texts make no difference."""
    whole = header(MARKER, MESSAGE, 0, description_of(written, bytes(32)), 7, 1)
    assert is_broken_off(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert not is_broken_off(whole + data.draw(st.binary()))


def test_what_cannot_be_written_is_refused() -> None:
    """Text that is no Unicode raises before anything is stored."""
    with pytest.raises(UnicodeEncodeError):
        description_of(message(subject="\udc80"), bytes(32))


@pytest.mark.parametrize("description", [b"", b"[]", b"{", b"{}", b"7", b'{"id":"x"}', b"\xff"])
@pytest.mark.parametrize("kind", [MESSAGE, DELETION])
def test_a_foreign_description_is_an_error(kind: int, description: bytes) -> None:
    """A record with a right checksum that something else wrote is ValueError, not a crash."""
    found = parsed(header(MARKER, kind, 0, description, 0, 1))
    with pytest.raises(ValueError):  # noqa: PT011 -- many kinds, each a ValueError
        entry_of(found)
