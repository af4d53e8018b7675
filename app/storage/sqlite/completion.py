"""Completes the index from the segments: what a power cut took of it, or all of it.

Of two records with the same key the one with the higher number counts. Whoever writes a record has
looked the key up under the same lock, so by then nobody was told that the other one is stored, or
it was deleted. The order in which segments are read makes no difference.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from sqlalchemy import Engine

from app.state.lock_file import LockFile, locked
from app.storage.segments.directory import LEGACY, Segments
from app.storage.segments.ended_segments import EndedSegment, PassedOver, unless_written
from app.storage.segments.leftovers import Leftover, move_end
from app.storage.sqlite.counters import add_to
from app.storage.sqlite.database import BUSY_TIMEOUT_SECONDS
from app.storage.sqlite.merge import Found, Merge
from app.storage.sqlite.numbers import next_numbers, note_number
from app.storage.sqlite.rows import SEGMENTS_SQL

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
) -> Completed:
    """Complete the index; `progress` is told how many bytes of segments are done.

    Safe while other processes write; what they write is left to them. Raises OSError,
    SQLAlchemyError.
    """
    return _Completion(engine, segments, lock_file).run(progress)


class _Completion:
    def __init__(self, engine: Engine, segments: Segments, lock_file: Path) -> None:
        self._engine = engine
        self._segments = segments
        self._lock_file = lock_file
        self._shift = 0
        self._completed = Completed()

    def run(self, progress: Callable[[int], None]) -> Completed:
        indexed_to = self._indexed_to()
        unknown = [path for path in self._segments.paths() if _goes_on(path, indexed_to)]
        numbers = [self._first_number(path, indexed_to.get(path.name, 0)) for path in unknown]
        known = [number for number in numbers if number is not None]
        if known:
            self._shift = self._next_number() - min(known)
        for path in self._segments.paths(LEGACY):
            self._keep_end_of_legacy(path, indexed_to.get(path.name, 0))
        for path in unknown:
            size = path.stat().st_size
            self._complete_segment(path, indexed_to.get(path.name, 0))
            progress(size)
        return self._completed

    def _indexed_to(self) -> dict[str, int]:
        """Return where the last row of each segment ends; -1 for one that is a large message."""
        with self._engine.connect() as connection:
            rows = connection.exec_driver_sql(SEGMENTS_SQL).all()
        return {row.segment: -1 if row.record_start == 0 else row.end for row in rows}

    def _first_number(self, path: Path, start: int) -> int | None:
        with unless_written(path) as descriptor:
            return descriptor and EndedSegment(path, descriptor, start).first_number()

    def _next_number(self) -> int:
        with (
            closing(LockFile(self._lock_file, BUSY_TIMEOUT_SECONDS)) as lock,
            lock.held(),
            self._engine.connect() as connection,
        ):
            return next_numbers(lock, connection, 1)[0]

    def _complete_segment(self, path: Path, start: int) -> None:
        with unless_written(path) as descriptor:
            if descriptor is None:
                return
            segment = EndedSegment(path, descriptor, start)
            found = (Found(path.name, record) for record in segment.records())
            for batch in _batches(found):
                self._index(batch)
        self._completed.torn_bytes += segment.torn_bytes
        self._completed.passed_over += segment.passed_over
        self._completed.leftovers += [segment.leftover] if segment.leftover else []
        if segment.passed_over:
            with locked(self._lock_file, BUSY_TIMEOUT_SECONDS), self._engine.begin() as connection:
                add_to(connection, "passed_over", len(segment.passed_over))

    def _keep_end_of_legacy(self, path: Path, end: int) -> None:
        """Without a row, bytes that version 0.1 has left are no message, or nobody knows which."""
        with unless_written(path) as descriptor:
            if descriptor is not None and os.fstat(descriptor).st_size > end:
                self._completed.leftovers.append(move_end(path, end))

    def _index(self, batch: Sequence[Found]) -> None:
        with (
            closing(LockFile(self._lock_file, BUSY_TIMEOUT_SECONDS)) as lock,
            lock.held(),
            self._engine.begin() as connection,
        ):
            merge = Merge(connection, batch)
            last = merge.apply(self._shift)
            if last:
                note_number(lock, last)
        self._completed.messages += merge.added
        self._completed.deletions += len(merge.deletions)


def _goes_on(path: Path, indexed_to: dict[str, int]) -> bool:
    end = indexed_to.get(path.name)
    return end is None or path.stat().st_size > end >= 0


def _batches(found: Iterable[Found]) -> Iterator[list[Found]]:
    pending = iter(found)
    while batch := list(islice(pending, _BATCH)):
        yield batch
