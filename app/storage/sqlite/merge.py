"""Merges records that were found in segments with what the index has already."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Row, or_, select
from sqlalchemy.dialects.sqlite import insert

from app.storage.segments.directory import Place
from app.storage.segments.record import Deletion, MessageRecord
from app.storage.segments.segment_file import Span
from app.storage.segments.segment_reader import Record
from app.storage.sqlite.removal import note_erasures, remove_rows, row_of
from app.storage.sqlite.rows import insert_sql, values_of
from app.storage.sqlite.tables import deleted, messages


@dataclass(frozen=True)
class Found:
    """A record, and the segment that it is in."""

    segment: str
    record: Record

    @property
    def extent(self) -> tuple[str, int, int]:
        """The segment, and from where to where the whole record lies in it."""
        return self.segment, self.record.start, self.record.end

    @property
    def place(self) -> Place:
        """Where its content is."""
        record = self.record
        return Place(record.start, Span(self.segment, record.content_start, record.content_bytes))


class Merge:
    """Merges one batch, in a transaction of the caller; raises SQLAlchemyError."""

    def __init__(self, connection: Connection, batch: Sequence[Found]) -> None:
        self._connection = connection
        self.deletions = [e for e in (f.record.entry for f in batch) if isinstance(e, Deletion)]
        self.messages = [
            (found, entry)
            for found in batch
            if isinstance(entry := found.record.entry, MessageRecord)
        ]
        keys = {entry.message.idempotency_key for _, entry in self.messages}
        keys |= {entry.idempotency_key for entry in self.deletions}
        ids = [entry.message.message_id for _, entry in self.messages]
        self._rows = self._known_rows(keys, ids)
        self._deleted_at = self._known_deletions(keys)
        self.added = 0

    def apply(self, shift: int) -> int:
        """Bring the index up to date; new rows get the numbers of their records plus `shift`.

        Return the highest of these, 0 without any.
        """
        new, beaten, dead = self._compare()
        dead += [
            row for row in self._rows if self._is_deleted(row.idempotency_key, row.record_number)
        ]
        if dead:
            remove_rows(self._connection, dead)
        if beaten:
            note_erasures(self._connection, [found.extent for found in beaten])
        if self.deletions:
            statement = insert(deleted).on_conflict_do_nothing()
            self._connection.execute(statement, [row_of(each) for each in self.deletions])
        self.added = len(new)
        rows = [values_of(entry, found.place, entry.number + shift) for found, entry in new]
        if rows:
            statement_text = insert_sql(self._connection.dialect, len(rows))
            self._connection.exec_driver_sql(statement_text, tuple(chain.from_iterable(rows)))
        return max((entry.number + shift for _, entry in new), default=0)

    def _compare(
        self,
    ) -> tuple[list[tuple[Found, MessageRecord]], list[Found], list[Row[Any]]]:
        """Return the records that get rows, those that are to be erased, and rows that give way."""
        known = {row.id for row in self._rows}
        row_of_key = {row.idempotency_key: row for row in self._rows}
        new: dict[str, tuple[Found, MessageRecord]] = {}
        beaten, replaced = [], []
        for found, entry in sorted(self.messages, key=lambda pair: -pair[1].number):
            key = entry.message.idempotency_key
            if entry.message.message_id in known:
                continue
            row = row_of_key.get(key)
            if (
                self._is_deleted(key, entry.number)
                or key in new
                or (row is not None and row.record_number > entry.number)
            ):
                beaten.append(found)
                continue
            if row is not None and not self._is_deleted(key, row.record_number):
                replaced.append(row)
            new[key] = found, entry
        return list(new.values()), beaten, replaced

    def _is_deleted(self, key: str, number: int) -> bool:
        return self._deleted_at.get(key, -1) > number

    def _known_rows(self, keys: set[str], ids: Sequence[str]) -> Sequence[Row[Any]]:
        is_same = or_(messages.c.id.in_(ids), messages.c.idempotency_key.in_(keys))
        return self._connection.execute(select(messages).where(is_same)).all()

    def _known_deletions(self, keys: set[str]) -> dict[str, int]:
        """Return, of each key, the number of the last deletion."""
        found = select(deleted.c.idempotency_key, deleted.c.number).where(
            deleted.c.idempotency_key.in_(keys)
        )
        pairs = [(row.idempotency_key, row.number) for row in self._connection.execute(found)]
        pairs += [(each.idempotency_key, each.number) for each in self.deletions]
        numbers: dict[str, int] = {}
        for key, number in pairs:
            numbers[key] = max(number, numbers.get(key, number))
        return numbers
