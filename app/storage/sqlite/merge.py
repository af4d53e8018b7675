"""Merges records that were found in segments with what the index has already."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Row, or_, select, update

from app.storage.segments.directory import Place
from app.storage.segments.record import Deletion, MessageRecord
from app.storage.segments.segment_file import Span
from app.storage.segments.segment_reader import Record
from app.storage.sqlite.deliveries.rows import count_of, make_deliveries
from app.storage.sqlite.removal import (
    add_deletions,
    extent,
    note_erasures,
    note_read_to,
    remove_rows,
)
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

    def is_of(self, row: Row[Any]) -> bool:
        """Return whether it is this record that a row is of."""
        return (row.segment, row.record_start) == (self.segment, self.record.start)


class Merge:
    """Merges one batch, in a transaction of the caller; raises SQLAlchemyError."""

    def __init__(
        self,
        connection: Connection,
        batch: Sequence[Found],
        is_readable: Callable[[Row[Any]], bool],
    ) -> None:
        """`is_readable` tells whether the bytes of a row are where it says."""
        self._connection = connection
        self._batch = batch
        self._is_readable = is_readable
        entries = [found.record.entry for found in batch]
        self._deletions = [entry for entry in entries if isinstance(entry, Deletion)]
        self._messages = [
            (found, entry)
            for found in batch
            if isinstance(entry := found.record.entry, MessageRecord)
        ]
        keys = {entry.message.idempotency_key for _, entry in self._messages}
        keys |= {entry.idempotency_key for entry in self._deletions}
        ids = [entry.message.message_id for _, entry in self._messages]
        self._rows = self._known_rows(keys, ids)
        self._deleted_at = self._known_deletions(keys)
        self._new: dict[str, tuple[Found, MessageRecord]] = {}
        self._moved: dict[str, tuple[Row[Any], Found]] = {}
        self._beaten: list[Found] = []
        self._dead: list[Row[Any]] = []
        self.added = 0
        self.deleted = 0

    def apply(self, new_numbers: Callable[[int], Sequence[int]]) -> None:
        """Bring the index up to date.

        New rows get `new_numbers` in the order of their records, followed by their deliveries.
        """
        self._compare()
        if self._dead:
            remove_rows(self._connection, self._dead)
        for row, found in self._moved.values():
            self._move(row, found)
        if self._beaten:
            note_erasures(self._connection, [found.extent for found in self._beaten])
        if self._deletions:
            self.deleted = add_deletions(self._connection, self._deletions)
            note_read_to(self._connection, self._ends_of_deletions())
        self._insert(new_numbers)

    def _compare(self) -> None:
        """Decide about each record and each row that it may have to do with."""
        row_of_id = {row.id: row for row in self._rows}
        row_of_key = {row.idempotency_key: row for row in self._rows}
        self._dead = [
            row for row in self._rows if self._is_deleted(row.idempotency_key, row.record_number)
        ]
        for found, entry in sorted(self._messages, key=_precedence):
            message_id, key = entry.message.message_id, entry.message.idempotency_key
            row = row_of_id.get(message_id)
            if row is not None:
                self._compare_copies(found, row)
                continue
            row = row_of_key.get(key)
            if (
                self._is_deleted(key, entry.number)
                or key in self._new
                or (row is not None and row.record_number > entry.number)
            ):
                self._beaten.append(found)
                continue
            if row is not None and row not in self._dead:
                self._dead.append(row)
            self._new[key] = found, entry

    def _compare_copies(self, found: Found, row: Row[Any]) -> None:
        """Of several copies of one record, which an interrupted move leaves, keep one."""
        if found.is_of(row):
            return
        may_replace = found.record.is_intact and row.id not in self._moved and row not in self._dead
        if may_replace and not self._is_readable(row):
            self._moved[row.id] = row, found
        else:
            self._beaten.append(found)

    def _move(self, row: Row[Any], found: Found) -> None:
        place = found.place
        note_erasures(self._connection, [extent(row)])
        self._connection.execute(
            update(messages)
            .where(messages.c.number == row.number)
            .values(
                segment=place.content.segment,
                segment_offset=place.content.offset,
                record_start=place.record_start,
            )
        )

    def _insert(self, new_numbers: Callable[[int], Sequence[int]]) -> None:
        new = sorted(self._new.values(), key=lambda pair: pair[1].number)
        self.added = len(new)
        if new:
            added = [entry.message for _, entry in new]
            given = new_numbers(len(new) + count_of(added))
            numbers, of_deliveries = given[: len(new)], given[len(new) :]
            rows = [
                values_of(entry, found.place, number)
                for (found, entry), number in zip(new, numbers, strict=True)
            ]
            statement = insert_sql(self._connection.dialect, len(rows))
            self._connection.exec_driver_sql(statement, tuple(chain.from_iterable(rows)))
            make_deliveries(
                self._connection.exec_driver_sql, zip(numbers, added, strict=True), of_deliveries
            )

    def _ends_of_deletions(self) -> dict[str, tuple[int, int]]:
        """Return of each segment with deletions where the last of them ends, and its number."""
        return {
            found.segment: (found.record.end, found.record.entry.number)
            for found in sorted(self._batch, key=lambda found: found.record.end)
            if isinstance(found.record.entry, Deletion)
        }

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
        pairs += [(each.idempotency_key, each.number) for each in self._deletions]
        numbers: dict[str, int] = {}
        for key, number in pairs:
            numbers[key] = max(number, numbers.get(key, number))
        return numbers


def _precedence(pair: tuple[Found, MessageRecord]) -> tuple[int, bool, str, int]:
    """Sort what counts first; copies of one record differ by what comes behind the number."""
    found, entry = pair
    return -entry.number, not found.record.is_intact, found.segment, found.record.start
