"""What is new in segments that nobody writes any more."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.storage.segments.leftovers import Leftover, move_end
from app.storage.segments.record import FILE_HEADER
from app.storage.segments.segment_reader import Part, Record, SegmentReader, TornEnd


@dataclass(frozen=True)
class PassedOver:
    """A damaged part of a segment, which is left where it is."""

    segment: str
    start: int
    end: int


@contextmanager
def unless_written(path: Path) -> Iterator[int | None]:
    """Open a segment and hold its lock; None when its writer is alive, or it is gone.

    Raises OSError.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield descriptor if os.fstat(descriptor).st_nlink else None
    finally:
        os.close(descriptor)


class EndedSegment:
    """A segment whose lock the caller holds."""

    def __init__(self, path: Path, descriptor: int, indexed_to: int) -> None:
        """Up to the offset `indexed_to` the index has everything."""
        self._path = path
        self._reader = SegmentReader(descriptor, path.name)
        self._start = indexed_to
        self.passed_over: list[PassedOver] = []
        self.leftover: Leftover | None = None
        self.torn_bytes = 0

    def records(self) -> Iterator[Record]:
        """Yield the new records, and clean up behind the last of them; raises OSError.

        What is damaged is passed over. A message with damaged content counts as a record all the
        same, unless it belongs to the last that were synced together: then the sync may never have
        ended, and nobody was told that it is stored.
        """
        group: list[Part] = []
        is_damaged_before = False
        for part in self._reader.parts(self._start):
            if isinstance(part, Record) and part.begins_group:
                yield from self._settle(group, is_last=False)
                is_damaged_before = bool(group) and not _is_whole(group[-1])
                group = []
            group.append(part)
        whole = len(group)
        while whole and not _is_whole(group[whole - 1]):
            whole -= 1
        if is_damaged_before and not whole:
            # It stays: it shows that what is damaged before it was synced, and may be mail.
            self._pass_over(group)
            return
        yield from self._settle(group[:whole], is_last=True)
        self._clean_up(group[whole:])

    def _settle(self, parts: Sequence[Part], *, is_last: bool) -> Iterator[Record]:
        self._pass_over(parts)
        for part in parts:
            if isinstance(part, Record) and (part.is_intact or not is_last):
                yield part

    def _pass_over(self, parts: Sequence[Part]) -> None:
        self.passed_over += [
            PassedOver(self._path.name, part.start, part.end)
            for part in parts
            if not _is_whole(part)
        ]

    def _clean_up(self, end: Sequence[Part]) -> None:
        """Remove what a write that was interrupted has left; keep elsewhere what may be mail."""
        start = end[0].start if end else self._reader.size
        if start <= FILE_HEADER.size:
            start = 0
        if all(isinstance(part, TornEnd) for part in end):
            self.torn_bytes = self._reader.size - start if end else 0
            if start == 0:
                self._path.unlink()
            elif end:
                os.truncate(self._path, start)
        else:
            self.leftover = move_end(self._path, start)


def _is_whole(part: Part) -> bool:
    return isinstance(part, Record) and part.is_intact
