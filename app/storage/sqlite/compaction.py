"""Copies what is left of a segment, where the space of erased messages isn't given back.

Some file systems can't punch holes, and holes are whole blocks: where most of a segment is erased
but hardly any space was given back, the living messages move. (Dovecot's mdbox purge does so too.)
The originals are erased later: somebody who copies the data directory file by file may have seen
the names of its segments before there was the new one.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import cast

from sqlalchemy import Connection, Engine, bindparam, delete, func, insert, select, update

from app.state.lock_file import locked
from app.storage.segments.directory import NAME, NewRecord, Place, Segments
from app.storage.segments.ended_segments import unless_written
from app.storage.segments.record import MESSAGE, MessageRecord, description_of
from app.storage.segments.segment_reader import Part, Record, SegmentReader
from app.storage.sqlite.database import BUSY_TIMEOUT_SECONDS
from app.storage.sqlite.removal import note_erasures, note_read_to
from app.storage.sqlite.rows import SEGMENTS_SQL
from app.storage.sqlite.tables import messages, originals

KEPT_SECONDS = 3600
_AT_ONCE = 64
_LITTLE_BYTES = 1024 * 1024
_STAT_BLOCK_BYTES = 512  # stat(2)
_PAUSES_A_BATCH = 4  # as long as a batch took, since new mail waits for it

_POINT_TO_COPY = (
    update(messages)
    .where(messages.c.number == bindparam("of"))
    .values(segment=bindparam("to"), segment_offset=bindparam("at"), record_start=bindparam("from"))
)


class Compaction:
    """Copies to segments of its own."""

    def __init__(
        self,
        engine: Engine,
        directory: Path,
        lock_file: Path,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._directory = directory
        self._lock_file = lock_file
        self._clock = clock

    def let_originals_go(self) -> None:
        """Note that what was copied KEPT_SECONDS ago has to be erased; raises SQLAlchemyError."""
        old = originals.c.copied_at_ms <= (self._clock() - KEPT_SECONDS) * 1000
        with locked(self._lock_file, BUSY_TIMEOUT_SECONDS), self._engine.begin() as connection:
            rows = connection.execute(delete(originals).where(old).returning(originals)).all()
            if rows:
                note_erasures(connection, [(row.segment, row.start, row.end) for row in rows])

    def copy_living(self) -> None:
        """Copy what is left of each segment of which that gives back most of its space.

        One that is written to, or damaged, stays. Raises OSError, SQLAlchemyError.
        """
        with self._engine.connect() as connection:
            names = [row.segment for row in connection.exec_driver_sql(SEGMENTS_SQL)]
        for name in filter(NAME.fullmatch, names):
            with unless_written(self._directory / name) as descriptor:
                if descriptor is not None and self._is_worthwhile(descriptor, name):
                    self._copy_segment(descriptor, name)

    def _is_worthwhile(self, descriptor: int, name: str) -> bool:
        allocated = os.fstat(descriptor).st_blocks * _STAT_BLOCK_BYTES
        return allocated > _LITTLE_BYTES and allocated > 2 * self._living_bytes(name)

    def _living_bytes(self, name: str) -> int:
        # With the rest of their records, which in small messages is most of it.
        extent = messages.c.segment_offset + messages.c.size - messages.c.record_start
        statement = select(func.coalesce(func.sum(extent), 0))
        with self._engine.connect() as connection:
            return int(connection.execute(statement.where(messages.c.segment == name)).scalar_one())

    def _copy_segment(self, descriptor: int, name: str) -> None:
        parts = list(SegmentReader(descriptor, name).parts(verify=False))
        living = self._living(parts, name)
        if len(living) < len(parts):  # something isn't indexed, not yet erased, or damaged
            return
        with closing(Segments(self._directory)) as target:
            for batch in _batches(living):
                began = time.monotonic()
                self._copy(descriptor, name, batch, target)
                time.sleep((time.monotonic() - began) * _PAUSES_A_BATCH)

    def _living(self, parts: Sequence[Part], name: str) -> list[Record]:
        statement = select(messages.c.segment_offset).where(messages.c.segment == name)
        with self._engine.connect() as connection:
            offsets = set(connection.execute(statement).scalars())
        return [
            part for part in parts if isinstance(part, Record) and part.content_start in offsets
        ]

    def _copy(
        self, descriptor: int, name: str, records: Sequence[Record], target: Segments
    ) -> None:
        places = target.append([_same_record(descriptor, record) for record in records])
        try:
            with locked(self._lock_file, BUSY_TIMEOUT_SECONDS), self._engine.begin() as connection:
                self._point_to_copies(connection, name, dict(zip(records, places, strict=True)))
                # None of it is new, though it has no rows any more.
                size, last = os.fstat(descriptor).st_size, records[-1].entry.number
                note_read_to(connection, {name: (size, last)})
        except BaseException:
            target.take_back(places[0].record_start)
            raise

    def _point_to_copies(
        self, connection: Connection, name: str, places: dict[Record, Place]
    ) -> None:
        at = [record.content_start for record in places]
        found = select(messages.c.segment_offset, messages.c.number).where(
            messages.c.segment == name, messages.c.segment_offset.in_(at)
        )
        numbers = {row.segment_offset: row.number for row in connection.execute(found)}
        living = [record for record in places if record.content_start in numbers]
        if living:
            moves = [_move(numbers[each.content_start], places[each]) for each in living]
            connection.execute(_POINT_TO_COPY, moves)
            connection.execute(
                insert(originals), [self._original(name, each, numbers) for each in living]
            )
        gone = [places[record] for record in places if record.content_start not in numbers]
        note_erasures(connection, [_extent(place) for place in gone])

    def _original(self, name: str, record: Record, numbers: dict[int, int]) -> dict[str, object]:
        return {
            "number": numbers[record.content_start],
            "segment": name,
            "start": record.start,
            "end": record.end,
            "copied_at_ms": int(self._clock() * 1000),
        }


def _move(number: int, place: Place) -> dict[str, object]:
    content = place.content
    return {
        "of": number,
        "to": content.segment,
        "at": content.offset,
        "from": place.record_start,
    }


def _extent(place: Place) -> tuple[str, int, int]:
    return place.content.segment, place.record_start, place.content.end


def _same_record(descriptor: int, record: Record) -> NewRecord:
    entry = cast(MessageRecord, record.entry)  # only these have rows
    content = os.pread(descriptor, record.content_bytes, record.content_start)
    description = description_of(entry.message, entry.sha256)
    return NewRecord(MESSAGE, entry.number, description, [content])


def _batches(records: Sequence[Record]) -> Iterator[list[Record]]:
    pending = iter(records)
    while batch := list(islice(pending, _AT_ONCE)):
        yield batch
