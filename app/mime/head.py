"""Splits header sections into fields, in order, unfolded but not decoded.

Messages and parts follow the same rules that app.intake.headers applies to From, To and Subject.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from app.mime.defects import Defect

MAX_BYTES = 256 * 1024
MAX_FIELDS = 1000

BOM = b"\xef\xbb\xbf"
"""The byte order mark that some software writes before UTF-8; not part of the text."""

FIELD_NAME = rb"[!-9;-~]+[ \t]*:"  # with space, as in obsolete syntax (RFC 5322 section 4.5)

# Blank lines, an mbox From line, and nameless lines that some relays add before the header.
# An atomic group, since the possessive quantifiers of Python 3.11.2 (Debian 12) match wrongly.
_BEFORE = re.compile(rb"(?>(?:[\r\n]|(?:>?From (?![ \t]*:)|[ \t:])[^\n]*\n)*)")
_FIELD = re.compile(FIELD_NAME)
_CR_BEFORE_FIELD = re.compile(rb"\r(?=" + FIELD_NAME + rb")")
_BLANK_LINE = re.compile(rb"\n\r*\n")


class Field(NamedTuple):
    """A header field: its name as written, its value unfolded and without outer white space."""

    name: str
    value: bytes


class Head(NamedTuple):
    """The header fields of a message or part, and the offset at which its body begins."""

    fields: Sequence[Field]
    body_start: int

    def values(self, name: str) -> list[bytes]:
        """Return the values of all fields called `name` (in lower case)."""
        return [field.value for field in self.fields if field.name.lower() == name]

    def value(self, name: str) -> bytes | None:
        """Return the value of the first field called `name` (in lower case), None if missing."""
        return next((each.value for each in self.fields if each.name.lower() == name), None)


def start_of_head(raw: bytes) -> int:
    """Return the offset of the first field, after any lines that aren't part of the header."""
    start = len(BOM) if raw.startswith(BOM) else 0
    before = _BEFORE.match(raw, start)
    return before.end() if before else start


def read_head(raw: bytes, start: int, end: int, found: set[Defect]) -> Head:
    """Read the header section at `start` of a message or part that ends at `end`.

    The section ends at the first line that is blank or not a field. Fields beyond MAX_BYTES or
    MAX_FIELDS are left out.
    """
    limit = min(end, start + MAX_BYTES)
    lines: list[list[bytes]] = []
    position = start
    while position < limit:
        next_line = raw.find(b"\n", position, limit) + 1 or limit
        line = raw[position:next_line].rstrip(b"\r\n")
        if not line:
            return _head(lines, next_line, found)
        if not _add_line(line, lines):
            found.add(Defect.HEADER_INVALID)
            return _head(lines, position, found)
        position = next_line
    return _head(lines, _body_after_limit(raw, limit, end, found), found)


def _add_line(line: bytes, lines: list[list[bytes]]) -> bool:
    """Add `line` to the fields; return False if it belongs to none."""
    # Parsers disagree on whether a bare CR ends a line. Here it does if a field follows, so that a
    # CR can't hide a field.
    first, *others = _CR_BEFORE_FIELD.split(line.lstrip(b"\r"))
    if _FIELD.match(first):
        lines.append([first])
    elif lines and first[:1] in {b" ", b"\t"}:
        lines[-1].append(first)
    else:
        return False
    lines += ([other] for other in others)
    return True


def _body_after_limit(raw: bytes, limit: int, end: int, found: set[Defect]) -> int:
    if limit == end:
        return end
    found.add(Defect.HEAD_TOO_LONG)
    blank = _BLANK_LINE.search(raw, limit, end)
    return blank.end() if blank else end


def _head(lines: Sequence[list[bytes]], body_start: int, found: set[Defect]) -> Head:
    if len(lines) > MAX_FIELDS:
        found.add(Defect.HEAD_TOO_LONG)
    return Head(tuple(_fields(lines[:MAX_FIELDS])), body_start)


def _fields(lines: Sequence[list[bytes]]) -> Iterator[Field]:
    for pieces in lines:
        name, _, value = b"".join(pieces).replace(b"\r", b" ").partition(b":")
        yield Field(name.rstrip(b" \t").decode("ascii"), value.strip(b" \t"))
