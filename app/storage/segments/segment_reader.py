"""Reads the records of a segment, past what is erased and what is damaged."""

import errno
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from app.storage.segments.record import (
    FILE_HEADER,
    HEADER_BYTES,
    LARGE_MESSAGE,
    MAGIC,
    RECORDS,
    VERSION,
    Entry,
    Header,
    MessageRecord,
    entry_of,
    parse_header,
)
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
        self.layout, self._marker = self._read_file_header(name)
        self._verifies = True

    def parts(self, start: int = 0, *, verify: bool = True) -> Iterator[Part]:
        """Yield what lies behind the offset `start`, at which a record begins or the file.

        Without `verify` content isn't read, and counts as intact.
        """
        self._verifies = verify
        if self.layout == LARGE_MESSAGE:
            yield from self._large_message()
            return
        position = max(start, FILE_HEADER.size)
        while position < self.size:
            found = self._header_at(position)
            if isinstance(found, Header):
                part = self._record(position, position + HEADER_BYTES, found)
            else:
                position = self._skip_zeros(position)
                if position >= self.size:
                    return
                if isinstance(self._header_at(position), Header):
                    continue
                part = self._what_is_no_record(position)
            yield part
            position = part.end

    def last_number(self) -> int:
        """Return the number of the last record, whether it is whole or not; 0 without any."""
        overlap = len(self._marker) - 1
        end = self.size
        while end > FILE_HEADER.size:
            begin = max(FILE_HEADER.size, end - _PIECE_BYTES)
            piece = self._read(begin, end - begin + overlap)
            at = piece.rfind(self._marker)
            while at >= 0:
                found = self._header_at(begin + at)
                if isinstance(found, Header):
                    return found.number
                at = piece.rfind(self._marker, 0, at + overlap)
            end = begin
        return 0

    def _read_file_header(self, name: str) -> tuple[int, bytes]:
        # The marker is the file's name, so that a damaged header costs nothing.
        marker = bytes.fromhex(name.removesuffix(SUFFIX))
        data = self._read(0, FILE_HEADER.size)
        if len(data) == FILE_HEADER.size:
            magic, version, layout, own = FILE_HEADER.unpack(data)
            if magic == MAGIC and version == VERSION and layout in {RECORDS, LARGE_MESSAGE}:
                return layout, own
        return RECORDS, marker

    def _large_message(self) -> Iterator[Part]:
        """The record is at the end, behind the content."""
        begin = max(FILE_HEADER.size, self.size - _PIECE_BYTES - _USUAL_BYTES)
        tail = self._read(begin, self.size - begin)
        at = tail.rfind(self._marker)
        found = parse_header(self._marker, tail[at:]) if at >= 0 else None
        if isinstance(found, Header):
            position = begin + at
            start = position - found.content_bytes
            if start == FILE_HEADER.size:
                yield self._large_record(found)
                return
        is_damaged = at >= 0 and found is None
        kind = Damage if is_damaged else TornEnd
        yield kind(0, self.size)

    def _large_record(self, found: Header) -> Record:
        entry = entry_of(found)
        is_intact = self._matches(FILE_HEADER.size, found.content_bytes, entry)
        size = found.content_bytes
        return Record(0, FILE_HEADER.size, size, self.size, entry, is_intact, begins_group=True)

    def _record(self, start: int, at: int, found: Header) -> Part:
        content_start = at + found.description_bytes
        end = content_start + found.content_bytes
        if end > self.size:
            return TornEnd(start, self.size)
        try:
            entry = entry_of(found)
        except ValueError:
            return Damage(start, end)
        is_intact = self._matches(content_start, found.content_bytes, entry)
        size = found.content_bytes
        return Record(start, content_start, size, end, entry, is_intact, found.position == 0)

    def _matches(self, start: int, size: int, entry: Entry) -> bool:
        if not self._verifies or not isinstance(entry, MessageRecord):
            return True
        digest = hashlib.sha256()
        for at in range(start, start + size, _PIECE_BYTES):
            digest.update(self._read(at, min(_PIECE_BYTES, start + size - at)))
        return digest.digest() == entry.sha256

    def _header_at(self, position: int) -> Header | int | None:
        found = parse_header(self._marker, self._read(position, _USUAL_BYTES))
        if isinstance(found, int):
            found = parse_header(self._marker, self._read(position, found))
        return found

    def _what_is_no_record(self, position: int) -> Part:
        following = self._next_record(position + 1)
        if following is not None:
            return Damage(position, following)
        is_torn = isinstance(self._header_at(position), int)
        return (TornEnd if is_torn else Damage)(position, self.size)

    def _next_record(self, position: int) -> int | None:
        while position < self.size:
            piece = self._read(position, _PIECE_BYTES)
            at = piece.find(self._marker)
            if at < 0:
                position += max(1, len(piece) - len(self._marker) + 1)
            elif isinstance(self._header_at(position + at), Header):
                return position + at
            else:
                position += at + 1
        return None

    def _skip_zeros(self, position: int) -> int:
        while position < self.size:
            try:
                position = os.lseek(self._descriptor, position, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # nothing but a hole follows
                    return self.size
                raise
            piece = self._read(position, _PIECE_BYTES)
            rest = piece.lstrip(b"\0")
            position += len(piece) - len(rest)
            if rest:
                return position
        return self.size

    def _read(self, position: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, position)
