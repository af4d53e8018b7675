"""The segment files of a data directory.

Each process appends to a segment of its own, and syncs it before it commits the row that points to
the bytes: bytes without a row are not part of any message. The process that writes a segment holds
a lock on it (flock), so the sweep at a start can tell which writers have ended, even while other
processes serve from the same directory.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from app.storage.segments.segment_file import SegmentFile, Span
from app.storage.segments.sweep import Leftover, sweep_segment

SEGMENT_BYTES = 256 * 1024 * 1024
_NAME = re.compile(r"[0-9a-f]{32}\.segment")


class Segments:
    """The segment files of one data directory. Not thread-safe: the caller locks."""

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
        segment = self._segment_with_room()
        self._current = None  # after a failure nothing may follow in this file (see _abandon)
        offset = segment.size
        try:
            segment.write([chunk for chunks in messages for chunk in chunks])
            segment.sync()
        except OSError:
            _abandon(segment, offset)
            raise
        self._current = segment
        return list(_spans(segment.name, offset, messages))

    def _segment_with_room(self) -> SegmentFile:
        # A full segment is closed only here, at the next append: without the lock on the file, a
        # sweep would remove bytes whose rows are just being committed.
        if self._current is not None and self._current.size >= self._segment_bytes:
            self.close()
        return self._current or self.open_file()

    def take_back(self, span: Span) -> None:
        """Cut off a message that got no row, if it is the last in the segment; raises OSError."""
        segment = self._current
        if segment is not None and (segment.name, segment.size) == (span.segment, span.end):
            segment.shorten(span.offset)

    def read(self, span: Span) -> bytes:
        """Return the bytes of `span`, fewer if the file is shorter; raises OSError."""
        descriptor = os.open(self._directory / span.segment, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            file.seek(span.offset)
            return file.read(span.length)

    def sweep(self, end_of_rows: Callable[[str], int], *, keep: bool = False) -> list[Leftover]:
        """Remove bytes without a row from segments whose writers have ended.

        `end_of_rows` returns where the last message of a segment ends, 0 when it has none. With
        `keep` the bytes are moved elsewhere. Files not named like a segment are left alone. Raises
        OSError.
        """
        found: list[Leftover | None] = []
        for path in sorted(self._directory.iterdir()):
            if _NAME.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                with suppress(FileNotFoundError):  # its writer has discarded it in the meantime
                    found.append(sweep_segment(path, end_of_rows, keep=keep))
        return [leftover for leftover in found if leftover is not None]

    def has(self, segment: str) -> bool:
        """Return whether there is a file, or a link, of this name."""
        return os.path.lexists(self._directory / segment)

    def is_empty(self) -> bool:
        """Return whether no segment holds any bytes."""
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
    # After a failed fsync the file can't be trusted: a second fsync can report success for bytes
    # that were lost. So the next message starts a new segment.
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
