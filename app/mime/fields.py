"""Decodes the values of header fields: text, dates, message ids."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from app.mime.charsets import decode_unlabelled
from app.mime.defects import Defect
from app.mime.encoded_words import decode_words
from app.mime.head import Head
from app.printable import readable

MAX_DATE_BYTES = 128
MAX_ID_CHARACTERS = 998

_ONCE = (
    *("from", "to", "cc", "reply-to", "subject", "date", "message-id", "in-reply-to"),
    *("references", "content-type", "content-transfer-encoding", "content-disposition"),
)
_ID = re.compile(r"<([^<>\s]+)>")
_UNDECODED_WORD = re.compile(r"=\?[^?\s]+\?[bBqQ]\?[^?]*\?=")


def read_text(value: bytes, found: set[Defect]) -> str:
    """Decode a value to one line of printable text."""
    text = decode_words(value)
    if not value.isascii() and not _is_utf_8(value):
        found.add(Defect.HEADER_CHARSET_GUESSED)
    if _UNDECODED_WORD.search(text):
        found.add(Defect.ENCODED_WORD_INVALID)
    return readable(text)


def read_date(value: bytes, found: set[Defect]) -> datetime | None:
    """Return the date with its offset from UTC, 0 if unknown; None if it isn't a valid date."""
    try:
        date = parsedate_to_datetime(decode_unlabelled(value[:MAX_DATE_BYTES]))
        if date.tzinfo is None:  # -0000 (RFC 5322 section 3.3)
            date = date.replace(tzinfo=UTC)
        date.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):  # differs between Python versions
        found.add(Defect.DATE_INVALID)
        return None
    return date


def read_ids(value: bytes) -> tuple[str, ...]:
    """Return the message ids in a field in order, without angle brackets and duplicates."""
    return tuple(dict.fromkeys(_ids(decode_unlabelled(value))))


def note_repeated(head: Head, found: set[Defect]) -> None:
    """Add HEADER_REPEATED to `found` if a field occurs twice that RFC 5322 allows once."""
    names = [field.name.lower() for field in head.fields]
    if any(names.count(name) > 1 for name in _ONCE):
        found.add(Defect.HEADER_REPEATED)


def _ids(text: str) -> Iterator[str]:
    for each in _ID.findall(text) or _without_brackets(text):
        if len(each) <= MAX_ID_CHARACTERS and readable(each) == each:
            yield each


def _without_brackets(text: str) -> list[str]:
    """Return the words that can be ids: "Your message of Monday" has none."""
    words = text.replace("<", " ").replace(">", " ").split()
    return words if len(words) == 1 else [each for each in words if "@" in each]


def _is_utf_8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
