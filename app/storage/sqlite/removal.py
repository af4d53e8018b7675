"""Deletes messages: first in the log, durably; then in the index. Their bytes are erased later.

Whatever interrupts this, what is left to be done can be told: from the table of erasures, or, if
that is lost, from the records of the deletions.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, select
from sqlalchemy.dialects.sqlite import insert

from app.state.lock_file import LockFile
from app.storage.message import Reason
from app.storage.segments.directory import NewRecord, Segments
from app.storage.segments.record import DELETION, Deletion, description_of_deletion
from app.storage.segments.segment_file import Span
from app.storage.sqlite.counters import add_to, set_to
from app.storage.sqlite.database import BUSY_TIMEOUT_SECONDS
from app.storage.sqlite.numbers import next_numbers
from app.storage.sqlite.tables import deleted, deletion_segments, erasures, messages, originals

MOST_AT_ONCE = 500
LOG_HAS_DELETED = "log_has_deleted"
"""The figure that tells whether deleted rows may be in the write-ahead log or in gaps of pages.

1 when rows were deleted; another number, chosen at random, by each who begins to erase them.
"""


class Removal:
    """Deletes for one process; its records go to a segment of their own."""

    def __init__(
        self,
        engine: Engine,
        segments: Segments,
        lock_file: Path,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._segments = segments
        self._lock_file = lock_file
        self._clock = clock
        self._one_at_a_time = threading.Lock()

    def remove(self, message_ids: Sequence[str], reason: Reason) -> list[str]:
        """See MessageStore.remove; raises OSError, SQLAlchemyError."""
        removed = []
        for at in range(0, len(message_ids), MOST_AT_ONCE):
            removed += self._remove_some(message_ids[at : at + MOST_AT_ONCE], reason)
        return removed

    def close(self) -> None:
        """Release files."""
        self._segments.close()

    def _remove_some(self, message_ids: Sequence[str], reason: Reason) -> list[str]:
        lock = LockFile(self._lock_file, BUSY_TIMEOUT_SECONDS)
        with self._one_at_a_time, closing(lock), self._engine.connect() as connection:
            with lock.held():
                lock.check_place()
                # Looked up together with the numbers, which must be lower than that of any message
                # which has one of their keys later.
                found = select(messages).where(messages.c.id.in_(message_ids))
                rows = connection.execute(found).all()
                numbers = next_numbers(lock, connection, len(rows)) if rows else []
                connection.rollback()
            if not rows:
                return []
            deletions = self._deletions(rows, reason, numbers)
            # Without the lock, so that new mail needn't wait for this sync too. What others delete
            # meanwhile gets two records, which are as good as one.
            places = self._segments.append(
                [
                    NewRecord(DELETION, each.number, description_of_deletion(each))
                    for each in deletions
                ]
            )
            try:
                with lock.held():
                    return self._remove_from_index(connection, deletions, places[-1].content)
            except BaseException:
                self._segments.take_back(places[0].record_start)
                raise

    def _remove_from_index(
        self, connection: Connection, deletions: Sequence[Deletion], last: Span
    ) -> list[str]:
        by_id = {each.message_id: each for each in deletions}
        statement = delete(messages).where(messages.c.id.in_(by_id)).returning(messages)
        with connection.begin():
            rows = connection.execute(statement).all()
            note_erasures(connection, extents_of(connection, rows))
            add_deletions(connection, [by_id[row.id] for row in rows])
            note_read_to(connection, {last.segment: (last.end, deletions[-1].number)})
        return [row.id for row in rows]

    def _deletions(
        self, rows: Sequence[Row[Any]], reason: Reason, numbers: Sequence[int]
    ) -> list[Deletion]:
        now = int(self._clock() * 1000)
        return [
            Deletion(number, row.id, row.idempotency_key, row.received_at_ms, now, reason)
            for number, row in zip(numbers, rows, strict=True)
        ]


def remove_rows(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    """Delete rows of messages, and note that their bytes have to be erased."""
    numbers = [row.number for row in rows]
    connection.execute(delete(messages).where(messages.c.number.in_(numbers)))
    note_erasures(connection, extents_of(connection, rows))


def note_erasures(connection: Connection, extents: Sequence[tuple[str, int, int]]) -> None:
    """Note that ranges of segments have to be erased; start 0 means all of a segment."""
    values = [
        {"segment": name, "start": start, "end": end} for name, start, end in extents if end > start
    ]
    if values:
        connection.execute(insert(erasures).on_conflict_do_nothing(), values)
    set_to(connection, LOG_HAS_DELETED, 1)


def extent(row: Row[Any]) -> tuple[str, int, int]:
    """Return the segment of a row's record, and from where to where the record lies."""
    start = row.segment_offset if row.record_start is None else row.record_start
    return row.segment, start, row.segment_offset + row.size


def extents_of(connection: Connection, rows: Sequence[Row[Any]]) -> list[tuple[str, int, int]]:
    """Return where records of deleted rows lie, also those that they are copies of."""
    numbers = [row.number for row in rows]
    statement = delete(originals).where(originals.c.number.in_(numbers)).returning(originals)
    copied = connection.execute(statement).all()
    return [extent(row) for row in rows] + [(row.segment, row.start, row.end) for row in copied]


def add_deletions(connection: Connection, deletions: Sequence[Deletion]) -> int:
    """Remember and count deletions; return how many weren't known."""
    by_id = {deletion.message_id: deletion for deletion in deletions}
    known = select(deleted.c.id).where(deleted.c.id.in_(by_id))
    for message_id in connection.execute(known).scalars().all():
        del by_id[message_id]
    if by_id:
        connection.execute(insert(deleted), [_row_of(each) for each in by_id.values()])
    for reason, count in Counter(each.reason for each in by_id.values()).items():
        add_to(connection, f"deleted_{reason}", count)
    return len(by_id)


def note_read_to(connection: Connection, ends: Mapping[str, tuple[int, int]]) -> None:
    """Note of segments up to where their deletions are known, and the last one's number."""
    for segment, (end, number) in ends.items():
        values = {"indexed_to": end, "last_number": number}
        statement = insert(deletion_segments).values(segment=segment, **values)
        connection.execute(statement.on_conflict_do_update(index_elements=["segment"], set_=values))


def _row_of(deletion: Deletion) -> dict[str, object]:
    return {
        "id": deletion.message_id,
        "idempotency_key": deletion.idempotency_key,
        "received_at_ms": deletion.received_at_ms,
        "deleted_at_ms": deletion.deleted_at_ms,
        "number": deletion.number,
    }
