"""Completes the index from the segments: what a power cut took of it, or all of it.

Of two records with the same key the one with the higher number counts. Whoever writes a record has
looked the key up under the same lock, so by then nobody was told that the other one is stored, or
it was deleted. The order in which segments are read makes no difference.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Row, func, select

from app.state.lock_file import LockFile, locked
from app.storage.segments.directory import LEGACY, Segments
from app.storage.segments.ended_segments import EndedSegment, PassedOver, unless_written
from app.storage.segments.leftovers import Leftover, move_end
from app.storage.segments.segment_file import Span
from app.storage.sqlite.counters import add_to, set_to, value_of
from app.storage.sqlite.database import BUSY_TIMEOUT_SECONDS
from app.storage.sqlite.merge import Found, Merge
from app.storage.sqlite.numbers import (
    highest_number,
    is_noted,
    microseconds,
    next_numbers,
    note_number,
)
from app.storage.sqlite.rows import SEGMENTS_SQL
from app.storage.sqlite.tables import deletion_segments
from app.storage.sqlite.unread_segments import UnreadSegment, in_order, outline_of

LEGACY_IS_TAKEN_OVER = "legacy_is_taken_over"
_BATCH = 500


@dataclass
class Completed:
    """What a completion has done: messages and deletions added to the index, bytes removed."""

    messages: int = 0
    deletions: int = 0
    torn_bytes: int = 0
    passed_over: list[PassedOver] = field(default_factory=list)
    leftovers: list[Leftover] = field(default_factory=list)


def complete(
    engine: Engine,
    segments: Segments,
    lock_file: Path,
    progress: Callable[[int], None] = lambda _: None,
    clock: Callable[[], int] = microseconds,
) -> Completed:
    """Complete the index; `progress` is told how many bytes of segments are done.

    Safe while other processes write; what they write is left to them. Raises OSError,
    SQLAlchemyError.
    """
    return _Completion(engine, segments, lock_file, clock).run(progress)


class _Completion:
    def __init__(
        self, engine: Engine, segments: Segments, lock_file: Path, clock: Callable[[], int]
    ) -> None:
        self._engine = engine
        self._segments = segments
        self._lock_file = lock_file
        self._clock = clock
        self._completed = Completed()

    def run(self, progress: Callable[[int], None]) -> Completed:
        self._take_over_legacy()
        indexed_to = self._indexed_to()
        unread = [
            segment
            for path in self._segments.paths()
            if (segment := outline_of(path, indexed_to.get(path.name, 0)))
        ]
        self._note_numbers(unread)
        # Deletions first, so that what they are about is never seen again, not for a moment.
        deletions = [segment for segment in unread if segment.has_deletions]
        others = [segment for segment in unread if not segment.has_deletions]
        found = (
            in_order([(each.first_number, self._records(each, progress)) for each in group])
            for group in (deletions, others)
        )
        for batch in _batches(chain.from_iterable(found)):
            self._index(batch)
        return self._completed

    def _indexed_to(self) -> dict[str, int | None]:
        """Return up to where the index has all of each segment; None if that is the whole file."""
        read_to = select(deletion_segments.c.segment, deletion_segments.c.indexed_to)
        with self._engine.connect() as connection:
            rows = connection.exec_driver_sql(SEGMENTS_SQL).all()
            deletions = connection.execute(read_to).all()
        ends: dict[str, int | None] = {row.segment: row.indexed_to for row in deletions}
        return ends | {row.segment: row.end if row.record_start else None for row in rows}

    def _note_numbers(self, unread: Sequence[UnreadSegment]) -> None:
        """Let new numbers be ahead of all that were given, also if the note of the last is lost."""
        last_deletion = select(func.max(deletion_segments.c.last_number))
        with self._engine.connect() as connection:
            known = highest_number(connection), connection.execute(last_deletion).scalar() or 0
        highest = max(*known, *(segment.last_number for segment in unread))
        with closing(LockFile(self._lock_file, BUSY_TIMEOUT_SECONDS)) as lock:
            if not is_noted(lock, highest):
                with lock.held():
                    note_number(lock, highest)

    def _records(self, unread: UnreadSegment, progress: Callable[[int], None]) -> Iterator[Found]:
        with unless_written(unread.path) as descriptor:
            if descriptor is None:
                return
            size = os.fstat(descriptor).st_size
            segment = EndedSegment(unread.path, descriptor, unread.start)
            for record in segment.records():
                yield Found(unread.path.name, record)
        self._note(segment)
        progress(size)

    def _note(self, segment: EndedSegment) -> None:
        self._completed.torn_bytes += segment.torn_bytes
        self._completed.passed_over += segment.passed_over
        self._completed.leftovers += [segment.leftover] if segment.leftover else []
        if segment.passed_over:
            with locked(self._lock_file, BUSY_TIMEOUT_SECONDS), self._engine.begin() as connection:
                add_to(connection, "passed_over", len(segment.passed_over))

    def _take_over_legacy(self) -> None:
        """Keep bytes of version 0.1 that have no row: they are no message, or nobody knows which.

        Only once: later on, a message whose row is missing at an end was deleted.
        """
        with self._engine.connect() as connection:
            if value_of(connection, LEGACY_IS_TAKEN_OVER):
                return
        indexed_to = self._ends_of_legacy()
        # Each one is asked, also after one that a server of version 0.1 still writes.
        ended = [self._keep_end(path, indexed_to) for path in self._segments.paths(LEGACY)]
        if all(ended):
            with locked(self._lock_file, BUSY_TIMEOUT_SECONDS), self._engine.begin() as connection:
                set_to(connection, LEGACY_IS_TAKEN_OVER, 1)

    def _ends_of_legacy(self) -> dict[str, int]:
        with self._engine.connect() as connection:
            rows = connection.exec_driver_sql(SEGMENTS_SQL).all()
        return {row.segment: row.end for row in rows}

    def _keep_end(self, path: Path, indexed_to: dict[str, int]) -> bool:
        with unless_written(path) as descriptor:
            if descriptor is None:
                return False
            end = indexed_to.get(path.name, 0)
            if os.fstat(descriptor).st_size > end:
                self._completed.leftovers.append(move_end(path, end))
            return True

    def _index(self, batch: Sequence[Found]) -> None:
        with (
            closing(LockFile(self._lock_file, BUSY_TIMEOUT_SECONDS)) as lock,
            lock.held(),
            self._engine.begin() as connection,
        ):

            def new_numbers(count: int) -> Sequence[int]:
                return next_numbers(lock, connection, count, self._clock)

            merge = Merge(connection, batch, self._is_readable)
            merge.apply(new_numbers)
        self._completed.messages += merge.added
        self._completed.deletions += merge.deleted

    def _is_readable(self, row: Row[Any]) -> bool:
        try:
            raw = self._segments.read(Span(row.segment, row.segment_offset, row.size))
        except OSError:
            return False
        return bool(hashlib.sha256(raw).digest() == row.sha256)


def _batches(found: Iterable[Found]) -> Iterator[list[Found]]:
    pending = iter(found)
    while batch := list(islice(pending, _BATCH)):
        yield batch
