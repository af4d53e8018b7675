"""Deletes messages: first in the log, durably; then in the index; then their bytes.

Whatever interrupts this, what is left to be done can be told: from the table of erasures, or, if
that is lost, from the records of the deletions.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, tuple_
from sqlalchemy.dialects.sqlite import insert as upsert

from app.state.lock_file import LockFile, locked
from app.storage.message import Reason
from app.storage.segments.directory import NewRecord, Segments
from app.storage.segments.record import DELETION, Deletion, description_of_deletion
from app.storage.sqlite.counters import add_to, set_to, value_of
from app.storage.sqlite.database import BUSY_TIMEOUT_SECONDS
from app.storage.sqlite.numbers import next_numbers
from app.storage.sqlite.tables import deleted, erasures, messages

MOST_AT_ONCE = 500
_TRIES = 50
_PAUSE_SECONDS = 0.1
_SHORT_PAUSE_SECONDS = 0.02
_LOG_HAS_DELETED = "log_has_deleted"


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

    def erase(self) -> None:
        """See MessageStore.erase; raises OSError, SQLAlchemyError."""
        with self._one_at_a_time:
            while self._erase_some():
                pass
            with self._engine.connect() as connection:
                if value_of(connection, _LOG_HAS_DELETED):
                    connection.rollback()
                    self._empty_log(connection)

    def forget(self, before_ms: int) -> None:
        """See MessageStore.forget_deleted; raises OSError, SQLAlchemyError."""
        while self._forget_some(before_ms):
            time.sleep(_SHORT_PAUSE_SECONDS)  # others wait for the lock

    def close(self) -> None:
        """Release files."""
        self._segments.close()

    def _forget_some(self, before_ms: int) -> bool:
        old = select(deleted.c.id).where(deleted.c.deleted_at_ms < before_ms).limit(MOST_AT_ONCE)
        with locked(self._lock_file, BUSY_TIMEOUT_SECONDS), self._engine.begin() as connection:
            done = connection.execute(delete(deleted).where(deleted.c.id.in_(old)))
            return done.rowcount == MOST_AT_ONCE

    def _remove_some(self, message_ids: Sequence[str], reason: Reason) -> list[str]:
        lock = LockFile(self._lock_file, BUSY_TIMEOUT_SECONDS)
        with (
            self._one_at_a_time,
            closing(lock),
            lock.held(),
            self._engine.connect() as connection,
        ):
            lock.check_place()
            found = select(messages).where(messages.c.id.in_(message_ids))
            rows = connection.execute(found).all()
            connection.rollback()
            if not rows:
                return []
            deletions = self._record(rows, reason, next_numbers(lock, connection, len(rows)))
            with connection.begin():
                remove_rows(connection, rows)
                connection.execute(insert(deleted), [row_of(each) for each in deletions])
                add_to(connection, f"deleted_{reason}", len(rows))
            return [row.id for row in rows]

    def _record(
        self, rows: Sequence[Row[Any]], reason: Reason, numbers: Sequence[int]
    ) -> list[Deletion]:
        now = int(self._clock() * 1000)
        deletions = [
            Deletion(number, row.id, row.idempotency_key, row.received_at_ms, now, reason)
            for number, row in zip(numbers, rows, strict=True)
        ]
        self._segments.append(
            [NewRecord(DELETION, each.number, description_of_deletion(each)) for each in deletions]
        )
        return deletions

    def _erase_some(self) -> bool:
        with self._engine.connect() as connection:
            rows = connection.execute(select(erasures).limit(10_000)).all()
        ranges = defaultdict(list)
        for row in rows:
            ranges[row.segment].append((row.start, row.end))
        for segment, of_segment in ranges.items():
            self._segments.erase(segment, of_segment)
        with locked(self._lock_file, BUSY_TIMEOUT_SECONDS), self._engine.begin() as connection:
            key = tuple_(erasures.c.segment, erasures.c.start)
            for at in range(0, len(rows), MOST_AT_ONCE):
                done = [(row.segment, row.start) for row in rows[at : at + MOST_AT_ONCE]]
                connection.execute(delete(erasures).where(key.in_(done)))
        return bool(rows)

    def _empty_log(self, connection: Connection) -> None:
        """Leave nothing of deleted rows in the write-ahead log."""
        raw = connection.execution_options(isolation_level="AUTOCOMMIT")
        for _ in range(_TRIES):
            with locked(self._lock_file, BUSY_TIMEOUT_SECONDS):
                is_busy, *_ = raw.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
                if not is_busy:
                    set_to(raw, _LOG_HAS_DELETED, 0)
                    return
            time.sleep(_PAUSE_SECONDS)
        raise TimeoutError("something reads the database all the time")


def remove_rows(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    """Delete rows of messages, and note that their bytes have to be erased."""
    numbers = [row.number for row in rows]
    connection.execute(delete(messages).where(messages.c.number.in_(numbers)))
    note_erasures(connection, [extent(row) for row in rows])


def note_erasures(connection: Connection, extents: Sequence[tuple[str, int, int]]) -> None:
    """Note that ranges of segments have to be erased; start 0 means all of a segment."""
    values = [{"segment": name, "start": start, "end": end} for name, start, end in extents]
    connection.execute(upsert(erasures).on_conflict_do_nothing(), values)
    set_to(connection, _LOG_HAS_DELETED, 1)


def extent(row: Row[Any]) -> tuple[str, int, int]:
    """Return the segment of a row's record, and from where to where the record lies."""
    start = row.segment_offset if row.record_start is None else row.record_start
    return row.segment, start, row.segment_offset + row.size


def row_of(deletion: Deletion) -> dict[str, object]:
    """Return the row of a deletion."""
    return {
        "id": deletion.message_id,
        "idempotency_key": deletion.idempotency_key,
        "received_at_ms": deletion.received_at_ms,
        "deleted_at_ms": deletion.deleted_at_ms,
        "number": deletion.number,
    }
