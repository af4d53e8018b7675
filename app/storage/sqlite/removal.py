"""Deletes messages: first in the log, durably; then in the index. Their bytes are erased later.

Whatever interrupts this, what is left to be done can be told: from the table of erasures, or, if
that is lost, from the records of the deletions.
"""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete

from app.state.lock_file import LockFile
from app.storage.message import Reason
from app.storage.segments.directory import NewRecord, Segments
from app.storage.segments.record import DELETION, Deletion, description_of_deletion
from app.storage.segments.segment_file import Span
from app.storage.sqlite.counters import add_to, set_to
from app.storage.sqlite.database import BUSY_TIMEOUT_SECONDS
from app.storage.sqlite.numbers import next_numbers
from app.storage.sqlite.queries import IS_DONE
from app.storage.sqlite.tables import messages

MOST_AT_ONCE = 500
LOG_HAS_DELETED = "log_has_deleted"
"""The figure that tells whether deleted rows may be in the write-ahead log or in gaps of pages.

1 when rows were deleted; another number, chosen at random, by each who begins to erase them.
"""

# New mail waits for these. Written with SQLAlchemy's expressions, which it compares with those that
# it knows, they took 2.4 ms for 25 messages, as text 1.0.
_FIND = """
SELECT id, idempotency_key, received_at_ms FROM message
WHERE id IN (SELECT value FROM json_each(?))
"""
_FIND_DONE = f"{_FIND} AND {IS_DONE}"
_IS_ANY_UNDONE = f"""
SELECT 1 FROM message WHERE id IN (SELECT value FROM json_each(?)) AND NOT {IS_DONE} LIMIT 1
"""  # noqa: S608 -- a constant
_REMOVE = "DELETE FROM message WHERE id IN (SELECT value FROM json_each(?)) RETURNING *"
_REMOVE_ORIGINALS = """
DELETE FROM original WHERE number IN (SELECT value FROM json_each(?))
RETURNING segment, start, "end"
"""
_NOTE_ERASURE = 'INSERT OR IGNORE INTO erasure (segment, start, "end") VALUES (?, ?, ?)'
_ADD_DELETION = """
INSERT OR IGNORE INTO deleted (id, idempotency_key, received_at_ms, deleted_at_ms, number)
VALUES (?, ?, ?, ?, ?)
"""
_RAISE_NUMBER = "UPDATE deleted SET number = ? WHERE id = ? AND number < ?"
_NOTE_READ_TO = """
INSERT INTO deletion_segment (segment, indexed_to, last_number) VALUES (?, ?, ?)
ON CONFLICT (segment) DO UPDATE
SET indexed_to = excluded.indexed_to, last_number = excluded.last_number
"""


class _UndoneError(Exception):
    """A message has a pending delivery by now: of a replay, or one that was retried."""


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
            while deletions := self._find(connection, lock, message_ids, reason):
                try:
                    return self._remove_found(connection, lock, deletions)
                except _UndoneError:
                    continue  # without these
            return []

    def _find(
        self, connection: Connection, lock: LockFile, message_ids: Sequence[str], reason: Reason
    ) -> list[Deletion]:
        find = _FIND_DONE if reason is Reason.RETENTION else _FIND
        with lock.held():
            lock.check_place()
            # Looked up together with the numbers, which must be lower than that of any message
            # which has one of their keys later.
            rows = connection.exec_driver_sql(find, (json.dumps(list(message_ids)),)).all()
            numbers = next_numbers(lock, connection, len(rows)) if rows else []
            connection.rollback()
        return self._deletions(rows, reason, numbers)

    def _remove_found(
        self, connection: Connection, lock: LockFile, deletions: Sequence[Deletion]
    ) -> list[str]:
        # Without the lock, so that new mail needn't wait for this sync too. What others delete
        # meanwhile gets two records, which are as good as one.
        places = self._segments.append(
            [NewRecord(DELETION, each.number, description_of_deletion(each)) for each in deletions]
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
        with connection.begin():
            _check_done(connection, deletions)
            rows = remove_with_ids(connection, list(by_id))
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


def _check_done(connection: Connection, deletions: Sequence[Deletion]) -> None:
    """Raise _UndoneError if what retention deletes has become pending since it was found."""
    ids = [each.message_id for each in deletions if each.reason is Reason.RETENTION]
    if ids and connection.exec_driver_sql(_IS_ANY_UNDONE, (json.dumps(ids),)).first():
        raise _UndoneError


def remove_with_ids(connection: Connection, ids: Sequence[str]) -> Sequence[Row[Any]]:
    """Delete the rows of messages, and return them: their bytes have to be erased."""
    return connection.exec_driver_sql(_REMOVE, (json.dumps(ids),)).all()


def remove_rows(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    """Delete rows of messages, and note that their bytes have to be erased."""
    numbers = [row.number for row in rows]
    connection.execute(delete(messages).where(messages.c.number.in_(numbers)))
    note_erasures(connection, extents_of(connection, rows))


def note_erasures(connection: Connection, extents: Sequence[tuple[str, int, int]]) -> None:
    """Note that ranges of segments have to be erased; start 0 means all of a segment."""
    values = [(name, start, end) for name, start, end in extents if end > start]
    if values:
        connection.exec_driver_sql(_NOTE_ERASURE, values)
    set_to(connection, LOG_HAS_DELETED, 1)


def extent(row: Row[Any]) -> tuple[str, int, int]:
    """Return the segment of a row's record, and from where to where the record lies."""
    start = row.segment_offset if row.record_start is None else row.record_start
    return row.segment, start, row.segment_offset + row.size


def extents_of(connection: Connection, rows: Sequence[Row[Any]]) -> list[tuple[str, int, int]]:
    """Return where records of deleted rows lie, also those that they are copies of."""
    numbers = json.dumps([row.number for row in rows])
    copied = connection.exec_driver_sql(_REMOVE_ORIGINALS, (numbers,)).all()
    return [extent(row) for row in rows] + [(row.segment, row.start, row.end) for row in copied]


def add_deletions(connection: Connection, deletions: Sequence[Deletion]) -> int:
    """Remember and count deletions; return how many weren't known."""
    by_reason = defaultdict(list)
    for each in deletions:
        by_reason[each.reason].append(_row_of(each))
    # Of two deletions of one message the last counts, whichever is found first.
    numbers = [(each.number, each.message_id, each.number) for each in deletions]
    added = 0
    for reason, rows in by_reason.items():
        count = connection.exec_driver_sql(_ADD_DELETION, rows).rowcount
        add_to(connection, f"deleted_{reason}", count)
        added += count
    if added < len(deletions):
        connection.exec_driver_sql(_RAISE_NUMBER, numbers)
    return added


def note_read_to(connection: Connection, ends: Mapping[str, tuple[int, int]]) -> None:
    """Note of segments up to where their deletions are known, and the last one's number."""
    values = [(segment, end, number) for segment, (end, number) in ends.items()]
    if values:
        connection.exec_driver_sql(_NOTE_READ_TO, values)


def _row_of(deletion: Deletion) -> tuple[object, ...]:
    return (
        deletion.message_id,
        deletion.idempotency_key,
        deletion.received_at_ms,
        deletion.deleted_at_ms,
        deletion.number,
    )
