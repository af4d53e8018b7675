"""Makes messages durable, a group at a time.

The order keeps the promise: bytes are synced before the rows that point to them are committed, and
the commit is synced before any client is answered.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from pathlib import Path

from sqlalchemy import Connection, Dialect, Engine, String, literal_column, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import (
    DataError,
    IntegrityError,
    InterfaceError,
    ProgrammingError,
    SQLAlchemyError,
)

from app.state.lock_file import LockFile
from app.storage.message import Message, Receipt
from app.storage.segments.directory import Segments
from app.storage.segments.segment_file import Span
from app.storage.segments.spooled_body import SpooledBody
from app.storage.sqlite.database import BUSY_TIMEOUT_SECONDS
from app.storage.sqlite.rows import moment_of, values_of
from app.storage.sqlite.tables import messages

# Faults of a single row, not of the database.
_ROW_ERRORS = (DataError, IntegrityError, InterfaceError, ProgrammingError, ValueError)

_FIRST = select(messages.c.idempotency_key, messages.c.id, messages.c.received_at_ms)


_COLUMNS = tuple(messages.columns.keys())

Row = tuple[object, ...]


@dataclass(slots=True)
class Addition:
    """One message to be stored; after the commit it has a receipt or an error."""

    message: Message
    body: SpooledBody
    receipt: Receipt | None = None
    error: Exception | None = None

    @property
    def key(self) -> str:
        """The key that two arrivals of the same message share."""
        return self.message.idempotency_key


class Writer:
    """Writes for one process; the caller passes one group at a time."""

    def __init__(
        self,
        engine: Engine,
        segments: Segments,
        lock_file: Path,
        wait_seconds: float = BUSY_TIMEOUT_SECONDS,
    ) -> None:
        """`lock_file` is the same for all processes that write to the same database."""
        self._engine = engine
        self._segments = segments
        self._lock = LockFile(lock_file, wait_seconds)
        self._connection: Connection | None = None

    def commit(self, additions: Sequence[Addition]) -> None:
        """Store each message once, durably, and give each its receipt or its error.

        A row that can't be stored doesn't affect the others; when the disk fails, every message
        that isn't durable yet fails.
        """
        try:
            self._commit(additions)
        except (OSError, SQLAlchemyError) as error:
            self._forget_connection()
            for addition in additions:
                if addition.receipt is None:
                    addition.error = error
        except BaseException:
            # Otherwise the next look-up would find its uncommitted rows and call them stored.
            self._forget_connection()
            raise

    def close(self) -> None:
        """Release connection and lock."""
        self._lock.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _commit(self, additions: Sequence[Addition]) -> None:
        self._refuse_lost_directory()
        known = self._first_receipts(additions)
        firsts: dict[str, Addition] = {}
        for addition in additions:
            addition.receipt = known.get(addition.key)
            if addition.receipt is None:
                firsts.setdefault(addition.key, addition)
        if firsts:
            self._store(list(firsts.values()))
        for addition in additions:
            if addition.receipt is None and addition.error is None:  # a repeat in one group
                first = firsts[addition.key]
                addition.error = first.error
                addition.receipt = first.receipt and replace(first.receipt, duplicate=True)

    def _store(self, additions: Sequence[Addition]) -> None:
        spans = self._write_bytes(additions)
        rows = [
            _row(values_of(addition.message, addition.body, span))
            for addition, span in zip(additions, spans, strict=True)
        ]
        try:
            inserted = self._commit_rows(additions, rows)
        except TimeoutError:  # no row was made, so nobody will ever miss the bytes
            self._take_back(additions, spans)
            raise
        for addition, is_inserted in zip(additions, inserted, strict=True):
            if is_inserted:
                message = addition.message
                addition.receipt = Receipt(message.message_id, message.received_at, duplicate=False)
        if not all(inserted):
            left_out = [addition for addition in additions if addition.receipt is None]
            self._take_back(additions, spans)
            self._resolve(left_out)

    def _write_bytes(self, additions: Sequence[Addition]) -> list[Span]:
        small = [addition.body.chunks for addition in additions if addition.body.segment is None]
        spans = iter(self._segments.append(small))
        return [_own_span(addition.body) or next(spans) for addition in additions]

    def _commit_rows(self, additions: Sequence[Addition], rows: Sequence[Row]) -> list[bool]:
        connection = self._connect()
        with self._lock.held():
            inserted = self._insert(connection, additions, rows)
            connection.commit()
            with suppress(OSError):  # they are stored all the same
                self._note_last(additions, inserted)
        return inserted

    def _note_last(self, additions: Sequence[Addition], inserted: Sequence[bool]) -> None:
        """See app.storage.sqlite.last_commit."""
        pairs = zip(additions, inserted, strict=True)
        ids = [addition.message.message_id for addition, is_inserted in pairs if is_inserted]
        if ids:
            self._lock.write(ids[-1])

    def _insert(
        self, connection: Connection, additions: Sequence[Addition], rows: Sequence[Row]
    ) -> list[bool]:
        # One statement for all rows: each statement releases the GIL and must wait to get it back.
        try:
            count = self._execute_insert(connection, rows)
        except _ROW_ERRORS:  # nothing was inserted
            return [
                self._insert_one(connection, addition, row)
                for addition, row in zip(additions, rows, strict=True)
            ]
        if count == len(rows):
            return [True] * count
        ids = [addition.message.message_id for addition in additions]
        found = select(messages.c.id).where(messages.c.id.in_(ids))
        ours = set(connection.execute(found).scalars())
        return [message_id in ours for message_id in ids]

    def _insert_one(self, connection: Connection, addition: Addition, row: Row) -> bool:
        try:
            return self._execute_insert(connection, [row]) == 1
        except _ROW_ERRORS as error:
            addition.error = error
            return False

    def _execute_insert(self, connection: Connection, rows: Sequence[Row]) -> int:
        statement = _insert_sql(self._engine.dialect, len(rows))
        return connection.exec_driver_sql(statement, tuple(chain.from_iterable(rows))).rowcount

    def _take_back(self, additions: Sequence[Addition], spans: Sequence[Span]) -> None:
        """Cut off bytes that got no row, unless bytes of other messages follow them."""
        is_behind = False
        for addition, span in zip(reversed(additions), reversed(spans), strict=True):
            if addition.body.segment is not None:
                addition.body.is_named = addition.receipt is not None
            elif addition.receipt is None and not is_behind:
                self._segments.take_back(span)
            else:
                is_behind = True  # an empty message must not end up beyond the end of the file

    def _resolve(self, beaten: Sequence[Addition]) -> None:
        """Give each message that another process stored first the receipt of that copy."""
        known = self._first_receipts(beaten)
        for addition in beaten:
            if addition.error is None:
                addition.receipt = known.get(addition.key)

    def _first_receipts(self, additions: Sequence[Addition]) -> dict[str, Receipt]:
        keys = tuple(addition.key for addition in additions)
        connection = self._connect()
        rows = connection.exec_driver_sql(_first_sql(self._engine.dialect, len(keys)), keys).all()
        connection.rollback()  # or it would go on seeing the current snapshot
        return {
            row.idempotency_key: Receipt(row.id, moment_of(row.received_at_ms), duplicate=True)
            for row in rows
        }

    def _refuse_lost_directory(self) -> None:
        try:
            self._lock.check_place()
        except OSError:
            self._segments.close()
            raise

    def _connect(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def _forget_connection(self) -> None:
        # A connection that was opened while nothing could be written would stay read-only.
        if self._connection is not None:
            self._connection.invalidate()
        self.close()
        self._engine.dispose()


def _own_span(body: SpooledBody) -> Span | None:
    if body.segment is None:
        return None
    # The segment stays even after a failed commit: the row may reappear when the database recovers.
    body.is_named = True
    return Span(body.segment.name, 0, body.size)


def _row(values: Mapping[str, object]) -> Row:
    return tuple(values[name] for name in _COLUMNS)


@cache
def _first_sql(dialect: Dialect, count: int) -> str:
    keys = messages.c.idempotency_key.in_([literal_column("?", String)] * count)
    return str(_FIRST.where(keys).compile(dialect=dialect))


@cache
def _insert_sql(dialect: Dialect, count: int) -> str:
    rows = [dict.fromkeys(_COLUMNS, "")] * count
    statement = insert(messages).values(rows)
    statement = statement.on_conflict_do_nothing(index_elements=["idempotency_key"])
    return str(statement.compile(dialect=dialect))
