"""The segment files of a data directory.

A process appends to a segment of its own, and syncs it before the row that names the bytes
is committed: bytes that no row names belong to nobody. A segment is locked (flock) by the
process that writes it for as long as it does, so the sweep at a start knows which segments
nobody writes any more, even while other processes serve from the same directory.
"""

import fcntl
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from app.storage.segments.segment_file import SegmentFile, Span

SEGMENT_BYTES = 256 * 1024 * 1024
_NAME = re.compile(r"[0-9a-f]{32}\.segment")


class Segments:
    """The segment files of one data directory. The caller keeps threads out of each other's way."""

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._current: SegmentFile | None = None

    def open_file(self) -> SegmentFile:
        """Return a new segment for one large message; raises OSError."""
        return SegmentFile(self._directory)

    def append(self, messages: Sequence[Sequence[bytes]]) -> list[Span]:
        """Append messages, each in pieces, to this process's segment; durable on return.

        Raises OSError, and then none of them is kept.
        """
        if not messages:
            return []
        segment = self._current or self.open_file()
        self._current = None  # after a failure nothing may follow in this file (see _abandon)
        offset = segment.size
        try:
            segment.write([chunk for chunks in messages for chunk in chunks])
            segment.sync()
        except OSError:
            _abandon(segment, offset)
            raise
        if segment.size < self._segment_bytes:
            self._current = segment
        else:
            segment.close()
        return list(_spans(segment.name, offset, messages))

    def take_back(self, span: Span) -> None:
        """Drop a message of which no row was made, if it is the last; raises OSError."""
        segment = self._current
        if segment is not None and (segment.name, segment.size) == (span.segment, span.end):
            segment.shorten(span.offset)

    def read(self, span: Span) -> bytes:
        """Return the bytes of `span`, fewer if the file is shorter; raises OSError."""
        descriptor = os.open(self._directory / span.segment, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            file.seek(span.offset)
            return file.read(span.length)

    def sweep(self, end_of_rows: Callable[[str], int]) -> None:
        """Remove what no row names from segments that nobody writes any more.

        `end_of_rows` tells where the last message of a segment ends, 0 when there is none.
        Files that don't carry the name of a segment stay untouched. Raises OSError.
        """
        for path in sorted(self._directory.iterdir()):
            if _NAME.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                with suppress(FileNotFoundError):  # its writer has discarded it meanwhile
                    _sweep_segment(path, end_of_rows)

    def is_empty(self) -> bool:
        """Tell whether no segment holds any bytes."""
        return not any(
            _NAME.fullmatch(path.name) and path.is_file() and path.stat().st_size
            for path in self._directory.iterdir()
        )

    def close(self) -> None:
        """Close the segment that this process writes."""
        if self._current is not None:
            self._current.close()
            self._current = None


def _abandon(segment: SegmentFile, offset: int) -> None:
    # A failed fsync is final for a descriptor: a second one can report success for bytes that
    # were lost, so the next message starts a new segment.
    if offset == 0:
        segment.discard()
        return
    with suppress(OSError):  # the sweep at the next start cuts the tail as well
        segment.shorten(offset)
    segment.close()


def _spans(segment: str, offset: int, messages: Sequence[Sequence[bytes]]) -> Iterator[Span]:
    for chunks in messages:
        span = Span(segment, offset, sum(map(len, chunks)))
        offset = span.end
        yield span


def _sweep_segment(path: Path, end_of_rows: Callable[[str], int]) -> None:
    if 0 < path.stat().st_size <= end_of_rows(path.name):
        return
    with path.open("rb+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        end = end_of_rows(path.name)  # again: its writer may have committed before it ended
        if end == 0:
            path.unlink()
        elif end < path.stat().st_size:  # never the other way: truncate would add zeros
            file.truncate(end)
