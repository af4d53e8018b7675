"""Copies what is left of a segment, where the space of erased messages isn't given back.

Some file systems can't punch holes, and holes are whole blocks: where most of a segment is erased
but hardly any space was given back, the living messages move. (Dovecot's mdbox purge does so too.)
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import cast

from sqlalchemy import Connection, Engine, func, select, update

from app.state.lock_file import locked
from app.storage.segments.directory import NewRecord, Place, Segments
from app.storage.segments.ended_segments import unless_written
from app.storage.segments.record import MESSAGE, MessageRecord, description_of
from app.storage.segments.segment_reader import Part, Record, SegmentReader
from app.storage.sqlite.database import BUSY_TIMEOUT_SECONDS
from app.storage.sqlite.removal import note_erasures
from app.storage.sqlite.tables import messages

_AT_ONCE = 64
_LITTLE_BYTES = 1024 * 1024
_STAT_BLOCK_BYTES = 512  # stat(2)


class Compaction:
    """Copies to segments of its own."""

    def __init__(self, engine: Engine, directory: Path, lock_file: Path) -> None:
        self._engine = engine
        self._directory = directory
        self._lock_file = lock_file

    def copy_living(self, name: str) -> bool:
        """Copy what is left of a segment if that gives back most of its space.

        Return whether all rows point to the copies: then the segment can be removed, as soon as
        the rows are durable. One that is written to, or damaged, stays. Raises OSError,
        SQLAlchemyError.
        """
        with unless_written(self._directory / name) as descriptor:
            if descriptor is None or not self._is_worthwhile(descriptor, name):
                return False
            parts = list(SegmentReader(descriptor, name).parts(verify=False))
            living = self._living(parts, name)
            if len(living) < len(parts):  # something isn't indexed, not yet erased, or damaged
                return False
            with closing(Segments(self._directory)) as target:
                for batch in _batches(living):
                    self._copy(descriptor, name, batch, target)
            return self._living_bytes(name) == 0

    def _is_worthwhile(self, descriptor: int, name: str) -> bool:
        allocated = os.fstat(descriptor).st_blocks * _STAT_BLOCK_BYTES
        return allocated > _LITTLE_BYTES and allocated > 2 * self._living_bytes(name)

    def _living_bytes(self, name: str) -> int:
        # With the rest of their records, which in small messages is most of it.
        extent = messages.c.segment_offset + messages.c.size - messages.c.record_start
        statement = select(func.coalesce(func.sum(extent), 0))
        with self._engine.connect() as connection:
            return int(connection.execute(statement.where(messages.c.segment == name)).scalar_one())

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
        with (
            locked(self._lock_file, BUSY_TIMEOUT_SECONDS),
            self._engine.begin() as connection,
        ):
            for record, place in zip(records, places, strict=True):
                if not _point_to(connection, name, record, place):
                    end = place.content.end  # it was deleted in the meantime
                    note_erasures(connection, [(place.content.segment, place.record_start, end)])


def _same_record(descriptor: int, record: Record) -> NewRecord:
    entry = cast(MessageRecord, record.entry)  # only these have rows
    content = os.pread(descriptor, record.content_bytes, record.content_start)
    description = description_of(entry.message, entry.sha256)
    return NewRecord(MESSAGE, entry.number, description, [content])


def _point_to(connection: Connection, name: str, record: Record, place: Place) -> bool:
    statement = (
        update(messages)
        .where(messages.c.segment == name, messages.c.segment_offset == record.content_start)
        .values(
            segment=place.content.segment,
            segment_offset=place.content.offset,
            record_start=place.record_start,
        )
    )
    return connection.execute(statement).rowcount == 1


def _batches(records: Sequence[Record]) -> Iterator[list[Record]]:
    pending = iter(records)
    while batch := list(islice(pending, _AT_ONCE)):
        yield batch
