"""The segments of a data directory: the log, of which the database is an index.

Each process appends to a segment of its own and holds a lock on it (flock), so that others know
which segments are no longer written to. A segment never grows again once it was shortened: whoever
reads it may rely on what lies below its size.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from app.state.small_files import sync_directory
from app.storage.segments.erasure import erase
from app.storage.segments.record import FILE_HEADER, HEADER_BYTES, LARGE_MESSAGE, header
from app.storage.segments.segment_file import SegmentFile, Span

SEGMENT_BYTES = 256 * 1024 * 1024
LEGACY = re.compile(r"[0-9a-f]{32}\.segment")
"""A segment of version 0.1, which has bytes of messages without records."""
NAME = re.compile(r"[0-9a-f]{32}\.records")


class NewRecord(NamedTuple):
    """A record to be appended; its content is `chunks`."""

    kind: int
    number: int
    description: bytes
    chunks: Sequence[bytes] = ()

    @property
    def content_bytes(self) -> int:
        """The size of its content."""
        return sum(map(len, self.chunks))


class Place(NamedTuple):
    """Where a record is: it begins at `record_start`, its content is `content`."""

    record_start: int
    content: Span


class Segments:
    """The segments of one data directory. Not thread-safe: the caller locks."""

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.directory = directory
        self._segment_bytes = segment_bytes
        self._current: SegmentFile | None = None

    def open_large(self) -> SegmentFile:
        """Return a new segment for one large message; raises OSError."""
        return SegmentFile(self.directory, LARGE_MESSAGE)

    def append(self, records: Sequence[NewRecord]) -> list[Place]:
        """Append `records` to this process's segment; durable on return.

        Raises OSError, and then none of them is kept.
        """
        if not records:
            return []
        segment = self._segment_with_room()
        self._current = None  # after a failure nothing may follow in this file (see _abandon)
        start = segment.size
        try:
            segment.write(list(_chunks(segment.marker, records)))
            segment.sync()
        except OSError:
            _abandon(segment, start)
            raise
        self._current = segment
        return list(_places(segment.name, start, records))

    def _segment_with_room(self) -> SegmentFile:
        # A full segment is closed only here, at the next append: without the lock on the file,
        # others would take its last records for those of a process that has ended.
        if self._current is not None and self._current.size >= self._segment_bytes:
            self.close()
        return self._current or SegmentFile(self.directory)

    def take_back(self, start: int) -> None:
        """Cut off what the last `append` has written from the offset `start` on; never raises."""
        segment, self._current = self._current, None
        if segment is not None:
            _abandon(segment, start)

    def read(self, span: Span) -> bytes:
        """Return the bytes of `span`, fewer if the file is shorter; raises OSError."""
        descriptor = os.open(self.directory / span.segment, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            return os.pread(descriptor, span.length, span.offset)
        finally:
            os.close(descriptor)

    def erase(self, segment: str, ranges: Sequence[tuple[int, int]]) -> None:
        """Erase ranges of a segment, durably, also of one that is written to; raises OSError.

        A range that begins with 0 means the whole file, which is removed.
        """
        path = self.directory / segment
        if any(start == 0 for start, _ in ranges) and NAME.fullmatch(segment):
            path.unlink(missing_ok=True)
            sync_directory(self.directory)
        else:
            erase(path, ranges)

    def paths(self, pattern: re.Pattern[str] = NAME) -> list[Path]:
        """Return the segments, which others may write to; raises OSError.

        Anything that isn't a file, or isn't named like one, is left out.
        """
        with os.scandir(self.directory) as entries:
            names = [
                entry.name
                for entry in entries
                if pattern.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
            ]
        return [self.directory / name for name in sorted(names)]

    def all_paths(self) -> list[Path]:
        """Return all segments, also those of version 0.1; raises OSError."""
        return self.paths() + self.paths(LEGACY)

    def has(self, segment: str) -> bool:
        """Return whether there is a file, or a link, of this name."""
        return os.path.lexists(self.directory / segment)

    def close(self) -> None:
        """Close the segment that this process writes."""
        if self._current is not None:
            self._current.close()
            self._current = None


def _abandon(segment: SegmentFile, start: int) -> None:
    # After a failed fsync the file can't be trusted: a second fsync can report success for bytes
    # that were lost. So the next message starts a new segment.
    if start <= FILE_HEADER.size:
        segment.discard()
        return
    with suppress(OSError):  # then a start takes them for stored, as it does after a kill
        segment.shorten(start)
    segment.close()


def _chunks(marker: bytes, records: Sequence[NewRecord]) -> Iterator[bytes]:
    for position, record in enumerate(records):
        size = record.content_bytes
        yield header(marker, record.kind, position, record.description, size, record.number)
        yield from record.chunks


def _places(segment: str, start: int, records: Sequence[NewRecord]) -> Iterator[Place]:
    for record in records:
        content_start = start + HEADER_BYTES + len(record.description)
        span = Span(segment, content_start, record.content_bytes)
        yield Place(start, span)
        start = span.end
