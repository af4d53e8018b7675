"""The head of a message, read so that no message can make it raise or run for long.

The message's own bytes are stored as they came; what is taken from the head here serves
the listing, and the envelope where the relay didn't give one. There is no MIME walk.
"""

import re
from dataclasses import dataclass
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from email.policy import compat32

from app.addresses import find_addresses
from app.errors import MessageRejected
from app.printable import UNPRINTABLE

MAX_VALUE_CHARACTERS = 4096
MAX_SUBJECT_CHARACTERS = 998  # RFC 5322 section 2.1.1
MAX_HEAD_LINES = 10_000  # the rest isn't looked at: the parser's time goes by the line

_FIRST_LINES = re.compile(rb"(?:[^\r\n]*(?:\r\n?|\n)){0,%d}" % MAX_HEAD_LINES)
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_SPACE_BEFORE_COLON = re.compile(rb"^([!-9;-~]+)[ \t]+:", re.MULTILINE)
_BROKEN_LINE = re.compile(rb"\n(?![ \t]|[!-9;-~]+:)[^\n]*")  # no field, no folded part of one


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
    # compat32: the modern policy raises on 42 of 787 messages seen in the wild, and a subject
    # of 256 KB makes it take 2 GB.
    head = _mend(_first_lines(_cut_head(beginning, is_whole=is_whole)))
    fields = BytesHeaderParser(policy=compat32).parsebytes(head)
    if not fields.keys():
        raise MessageRejected("This is no message: it doesn't begin with a header field.")
    return Head(
        from_field=_value(fields, "from"),
        to_field=_value(fields, "to"),
        subject=_decode(_value(fields, "subject"))[:MAX_SUBJECT_CHARACTERS],
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


def _first_lines(head: bytes) -> bytes:
    lines = _FIRST_LINES.match(head + b"\n")
    return lines.group() if lines else head


def _mend(head: bytes) -> bytes:
    # Relays deliver both what RFC 5322 section 4.5 calls obsolete, a space before the colon, and
    # a head with a broken line in it; the parser would take the rest for the body.
    return _BROKEN_LINE.sub(b"", _SPACE_BEFORE_COLON.sub(rb"\1:", head))


def _value(fields: Message, name: str) -> str:
    # What Message.get returns for 8-bit headers has lost the bytes; many are in UTF-8 (RFC 6532).
    values = (value for key, value in fields.raw_items() if key.lower() == name)
    value = str(next(values, ""))[:MAX_VALUE_CHARACTERS]
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _decode(value: str) -> str:
    if "=?" not in value:  # no encoded word (RFC 2047), as in most mail
        return UNPRINTABLE.sub(" ", value).strip()
    try:
        decoded = str(make_header(decode_header(value)))
    except (LookupError, ValueError, MessageError):  # a charset or Base64 that is none
        decoded = value
    return UNPRINTABLE.sub(" ", decoded).strip()
