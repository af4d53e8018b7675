"""The head of a message, read so that no message can make it raise or run for long.

The message's own bytes are stored as they came; what is taken from the head here serves
the listing, and the envelope where the relay didn't give one. There is no MIME walk.
"""

import re
from dataclasses import dataclass
from email.errors import MessageError
from email.header import decode_header, make_header

from app.errors import MessageRejected
from app.intake.addresses import find_addresses
from app.printable import UNPRINTABLE

MAX_VALUE_BYTES = 4096
MAX_SUBJECT_CHARACTERS = 998  # RFC 5322 section 2.1.1
MAX_SUBJECT_BYTES = 8192  # of as many characters outside ASCII, as encoded words

_BLANK_LINE = re.compile(rb"\n\r*\n")
_SPACE_BEFORE_COLON = re.compile(rb"^([!-9;-~]+)[ \t]+:", re.MULTILINE)
_BROKEN_LINE = re.compile(rb"\n(?![ \t]|[!-9;-~]+:)[^\n]*")  # no field, no folded part of one
_BEGINNING = re.compile(rb"(?:(?:From |[ \t:])[^\n]*\n)*[!-9;-~]+:")  # after lines without a name
_ESCAPED = re.compile(rb"\\.")
_FOLDED_VALUE = re.compile(rb"[^\n]*(?:\n[ \t][^\n]*)*")


@dataclass(frozen=True)
class Head:
    """What the headers say. Addresses are looked for when somebody wants to know them."""

    from_field: str = ""
    to_field: str = ""
    subject: str = ""

    @property
    def sender(self) -> str | None:
        """The first usable address in From; None without one."""
        return next(iter(find_addresses(self.from_field)), None)

    @property
    def recipient(self) -> str | None:
        """The first usable address in To; None without one."""
        return next(iter(find_addresses(self.to_field)), None)


def parse_head(beginning: bytes, *, is_whole: bool) -> Head:
    """Read the head from the `beginning` of a message, or from the whole of it.

    Raises MessageRejected when this is no message (RFC 5322 section 2.1): nothing there, no
    header field, or no end of the head in sight.
    """
    # Not by the standard library: its modern policy raises on 42 of 787 messages seen in the wild;
    # the old one needs twice the time, and stops at a line that is broken by a bare CR.
    head = _mend(_with_plain_ends(_cut_head(beginning, is_whole=is_whole)))
    if not _BEGINNING.match(head):
        raise MessageRejected("This is no message: it doesn't begin with a header field.")
    lines = b"\n" + head
    names = lines.lower()
    return Head(
        from_field=_addresses(_value(lines, names, b"\nfrom:")),
        to_field=_addresses(_value(lines, names, b"\nto:")),
        subject=_decode(_value(lines, names, b"\nsubject:"))[:MAX_SUBJECT_CHARACTERS],
    )


def _cut_head(beginning: bytes, *, is_whole: bool) -> bytes:
    if not beginning:
        raise MessageRejected("The message is empty.")
    end = _BLANK_LINE.search(beginning)
    if end is not None:
        return beginning[: end.start()]
    if not is_whole:
        raise MessageRejected(f"The head doesn't end within its first {len(beginning)} bytes.")
    return beginning


def _with_plain_ends(head: bytes) -> bytes:
    # A bare CR ends a line for some readers and none for others. Here it does, so that no field
    # hides behind one; and it can't make the empty line that ends the head for some of them.
    return head.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _mend(head: bytes) -> bytes:
    # Relays deliver both what RFC 5322 section 4.5 calls obsolete, a space before the colon, and
    # a head with a broken line in it, which must not end the search for what comes after it.
    return _BROKEN_LINE.sub(b"", _SPACE_BEFORE_COLON.sub(rb"\1:", head))


def _value(lines: bytes, names: bytes, field: bytes) -> bytes:
    """Return the unfolded value of the first `field`, b"" without one (RFC 5322 section 2.2.3)."""
    at = names.find(field)
    if at < 0:
        return b""
    folded = _FOLDED_VALUE.match(lines, at + len(field))
    value = folded.group() if folded else b""
    return value.replace(b"\n", b"").strip(b" \t")


def _addresses(value: bytes) -> str:
    if len(value) > MAX_VALUE_BYTES:
        value = value[:MAX_VALUE_BYTES].rpartition(b",")[0]  # half an address may be another's
        if _ESCAPED.sub(b"", value).count(b'"') % 2:
            return ""  # and what looks like one in a quoted name is none
    return _text(value)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")  # RFC 6532


def _decode(raw: bytes) -> str:
    value = _text(raw[:MAX_SUBJECT_BYTES])
    if "=?" not in value:  # no encoded word (RFC 2047), as in most mail
        return UNPRINTABLE.sub(" ", value).strip()
    try:
        decoded = str(make_header(decode_header(value)))
    except (LookupError, ValueError, MessageError):  # a charset or Base64 that is none
        decoded = value
    return UNPRINTABLE.sub(" ", decoded).strip()
