"""Reads the records of a segment, past what is erased and what is damaged."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from app.storage.segments.record import (
    DESCRIPTION_BEGINS,
    FILE_HEADER,
    HEADER_BYTES,
    LARGE_MESSAGE,
    MAGIC,
    MOST_DESCRIPTION_BYTES,
    RECORDS,
    VERSION,
    Entry,
    Header,
    MessageRecord,
    entry_of,
    is_broken_off,
    parse_header,
)
from app.storage.segments.scanning import first_other_than_zero, occurrences
from app.storage.segments.segment_file import SUFFIX

_PIECE_BYTES = 1024 * 1024
_USUAL_BYTES = 4096


@dataclass(frozen=True)
class Record:
    """A whole record: it lies from `start` to `end`, its content from `content_start` on.

    `is_intact` is False when the content doesn't match its checksum, `begins_group` tells whether
    it was the first of those that were synced together.
    """

    start: int
    content_start: int
    content_bytes: int
    end: int
    entry: Entry
    is_intact: bool
    begins_group: bool


@dataclass(frozen=True)
class Damage:
    """Bytes from `start` to `end` that are no record, though records follow or should be there."""

    start: int
    end: int


@dataclass(frozen=True)
class TornEnd:
    """What a write that was interrupted has left at the end: it was never acknowledged."""

    start: int
    end: int


Part = Record | Damage | TornEnd


class SegmentReader:
    """The records of one segment as large as it is now; raises OSError."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        # The marker is the file's name, so that a damaged header costs nothing.
        self._marker = bytes.fromhex(name.removesuffix(SUFFIX))

    def parts(self, start: int = 0, *, verify: bool = True) -> Iterator[Part]:
        """Yield what lies behind the offset `start`, at which a record begins or the file.

        Without `verify` content isn't read, and counts as intact.
        """
        layout = self._layout()
        if layout == LARGE_MESSAGE:
            part = self._large_message(verify=verify)
            if isinstance(part, Record) or not self._has_records():
                yield part
                return
        elif layout is None or not self._begins_with_record():
            large = self._large_message(verify=True)
            if isinstance(large, Record) and large.content_bytes and large.is_intact:
                yield large
                return
        yield from self._records(max(start, FILE_HEADER.size), verify=verify)

    def _begins_with_record(self) -> bool:
        """Tell whether a record, or one that was erased, follows the file's header."""
        begin = self._read(FILE_HEADER.size, FILE_HEADER.size + len(self._marker))
        return begin == self._marker or not begin.strip(b"\0")

    def _has_records(self) -> bool:
        """Tell whether records follow whatever the layout says, which no checksum protects."""
        parts = self._records(FILE_HEADER.size, verify=False)
        return any(isinstance(part, Record) for part in parts)

    def _layout(self) -> int | None:
        """Return None if the file's header is damaged."""
        data = self._read(0, min(self.size, FILE_HEADER.size))
        if len(data) < FILE_HEADER.size:
            return None
        magic, version, layout, _ = FILE_HEADER.unpack(data)
        is_sane = magic == MAGIC and version == VERSION and layout in {RECORDS, LARGE_MESSAGE}
        return int(layout) if is_sane else None

    def _large_message(self, *, verify: bool) -> Part:
        """Return all of the segment; its record is at the end, behind the content."""
        begin = max(FILE_HEADER.size, self.size - HEADER_BYTES - MOST_DESCRIPTION_BYTES)
        tail = self._read(begin, self.size)
        at = tail.rfind(self._marker)
        has_marker = at >= 0
        if not has_marker:  # it may be what is damaged
            at = tail.rfind(DESCRIPTION_BEGINS) - HEADER_BYTES
        if at < 0:  # a sector that was lost is zeros as a rule
            return (Damage if tail.endswith(b"\0") else TornEnd)(0, self.size)
        record = self._marker + tail[at + len(self._marker) :]
        found = parse_header(self._marker, record)
        if isinstance(found, Header) and found.content_bytes == begin + at - FILE_HEADER.size:
            return self._checked(0, FILE_HEADER.size, self.size, found, verify=verify)
        if has_marker:
            is_torn = isinstance(found, int) and is_broken_off(record)
        else:
            is_torn = not record.endswith(b"}")
        return TornEnd(0, self.size) if is_torn else Damage(0, self.size)

    def _records(self, position: int, *, verify: bool) -> Iterator[Part]:
        while position < self.size:
            found = self._header_at(position)
            if isinstance(found, Header):
                part = self._record(position, found, verify=verify)
            elif found is None and (next_byte := self._skip_zeros(position)) > position:
                position = next_byte
                continue
            else:
                part = self._what_is_no_record(position)
            yield part
            position = part.end

    def last_number(self) -> int:
        """Return the number of the last record, whether it is whole or not; 0 without any."""
        overlap = len(self._marker) - 1
        end = self.size
        while end > FILE_HEADER.size:
            begin = max(FILE_HEADER.size, end - _PIECE_BYTES)
            piece = self._read(begin, min(end + overlap, self.size))
            at = piece.rfind(self._marker)
            while at >= 0:
                found = self._header_at(begin + at)
                if isinstance(found, Header):
                    return found.number
                at = piece.rfind(self._marker, 0, at + overlap)
            end = begin
        return 0

    def _record(self, start: int, found: Header, *, verify: bool) -> Part:
        content_start = start + HEADER_BYTES + found.description_bytes
        end = content_start + found.content_bytes
        is_there = end <= self.size
        if is_there:
            part = self._checked(start, content_start, end, found, verify=verify)
            if isinstance(part, Record) and part.is_intact:
                return part
        # Where bytes are missing it seems to go on into the records that follow.
        following = self._next_record(content_start, min(end, self.size))
        if following is not None:
            return Damage(start, following)
        return part if is_there else TornEnd(start, self.size)

    def _checked(
        self, start: int, content_start: int, end: int, found: Header, *, verify: bool
    ) -> Record | Damage:
        try:
            entry = entry_of(found)
        except ValueError:
            return Damage(start, end)
        size = found.content_bytes
        is_intact = not verify or self._matches(content_start, size, entry)
        return Record(start, content_start, size, end, entry, is_intact, found.position == 0)

    def _matches(self, start: int, size: int, entry: Entry) -> bool:
        if not isinstance(entry, MessageRecord):
            return True
        digest = hashlib.sha256()
        for at in range(start, start + size, _PIECE_BYTES):
            digest.update(self._read(at, min(at + _PIECE_BYTES, start + size)))
        return digest.digest() == entry.sha256

    def _what_is_no_record(self, position: int) -> Damage | TornEnd:
        following = self._next_record(position + 1, self.size)
        if following is not None:
            return Damage(position, following)
        is_torn = isinstance(self._header_at(position), int) and is_broken_off(
            self._read(position, self.size)
        )
        return (TornEnd if is_torn else Damage)(position, self.size)

    def _next_record(self, start: int, end: int) -> int | None:
        for at in occurrences(self._descriptor, self._marker, start, end):
            if isinstance(self._header_at(at), Header):
                return at
        return None

    def _header_at(self, position: int) -> Header | int | None:
        found = parse_header(self._marker, self._read(position, position + _USUAL_BYTES))
        if isinstance(found, int):
            found = parse_header(self._marker, self._read(position, position + found))
        return found

    def _skip_zeros(self, position: int) -> int:
        return first_other_than_zero(self._descriptor, position, self.size)

    def _read(self, start: int, end: int) -> bytes:
        return os.pread(self._descriptor, max(0, end - start), start)
