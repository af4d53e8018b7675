"""What a completion has to read, and in which order."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.storage.segments.ended_segments import unless_written
from app.storage.segments.record import Deletion
from app.storage.segments.segment_reader import Record, SegmentReader
from app.storage.sqlite.merge import Found


@dataclass(frozen=True)
class UnreadSegment:
    """A segment that nobody writes any more, with what the index doesn't have from `start` on.

    The numbers are those of the first and the last record, 0 without any.
    """

    path: Path
    start: int
    first_number: int
    last_number: int
    has_deletions: bool


def outline_of(path: Path, indexed_to: int | None) -> UnreadSegment | None:
    """Return what is unread of a segment; None if there is nothing, or somebody writes it.

    `indexed_to` None means that the index has all of it. Raises OSError.
    """
    if indexed_to is None or 0 < _size(path) <= indexed_to:  # an empty one is to be removed
        return None
    with unless_written(path) as descriptor:
        if descriptor is None:
            return None
        reader = SegmentReader(descriptor, path.name)
        parts = reader.parts(indexed_to, verify=False)
        entry = next((part.entry for part in parts if isinstance(part, Record)), None)
        return UnreadSegment(
            path,
            indexed_to,
            entry.number if entry else 0,
            reader.last_number(),
            isinstance(entry, Deletion),
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # a message that another process was receiving was refused
        return 0


def in_order(sources: Sequence[tuple[int, Iterator[Found]]]) -> Iterator[Found]:
    """Yield what all sources have by the numbers of the records.

    Each source comes with its first number. It isn't begun before that, so that few segments are
    open at a time.
    """
    heap: list[tuple[int, int, Found | None, Iterator[Found]]] = [
        (number, place, None, source) for place, (number, source) in enumerate(sources)
    ]
    heapq.heapify(heap)
    while heap:
        _, place, found, source = heap[0]
        if found is not None:
            yield found
        following = next(source, None)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following.record.entry.number, place, following, source))
