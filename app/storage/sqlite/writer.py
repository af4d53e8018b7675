"""Makes messages durable, a group at a time, and indexes them.

A message is durable when its segment is synced. Its row is committed right after, with those of its
deliveries, without a sync of its own: whatever a power cut takes of the index, a start completes
from the segments. All of this happens under one lock for all processes, so of two messages with the
same key only one is ever acknowledged.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from typing import cast

from sqlalchemy import Connection, Dialect, Engine, String, literal_column, select
from sqlalchemy.exc import SQLAlchemyError

from app.state.lock_file import LockFile
from app.storage.ids import moment_of
from app.storage.message import Message, Receipt
from app.storage.segments.directory import NewRecord, Place, Segments
from app.storage.segments.record import MESSAGE, MessageRecord, description_of
from app.storage.segments.spooled_body import SpooledBody
from app.storage.sqlite.database import BUSY_TIMEOUT_SECONDS
from app.storage.sqlite.deliveries.rows import count_of, make_deliveries
from app.storage.sqlite.numbers import next_numbers
from app.storage.sqlite.rows import insert_sql, values_of
from app.storage.sqlite.tables import deleted, messages


@dataclass(slots=True)
class Addition:
    """One message to be stored; after the commit it has a receipt or an error.

    Raises UnicodeEncodeError when its envelope or subject can't be written.
    """

    message: Message
    body: SpooledBody
    receipt: Receipt | None = None
    error: Exception | None = None
    sha256: bytes = field(init=False)
    description: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.sha256 = self.body.sha256()
        self.description = description_of(self.message, self.sha256)

    @property
    def key(self) -> str:
        """The key that two arrivals of the same message share."""
        return self.message.idempotency_key


class Writer:
    """Writes for one process; the caller passes one group at a time.

    Its connection is one of the engine's, which checks and replaces them. Statements go to the
    driver, though: by way of SQLAlchemy they would take a tenth of a request's calls. So what
    SQLAlchemy says about transactions isn't true here.
    """

    def __init__(
        self,
        engine: Engine,
        segments: Segments,
        lock_file: Path,
        note_failure: Callable[[sqlite3.Error], None],
        wait_seconds: float = BUSY_TIMEOUT_SECONDS,
    ) -> None:
        """`lock_file` is the same for all processes that write to the same database.

        `note_failure` is called with what the driver raises, of which the engine doesn't learn.
        """
        self._engine = engine
        self._segments = segments
        self._lock = LockFile(lock_file, wait_seconds)
        self._note_failure = note_failure
        self._connection: Connection | None = None

    def commit(self, additions: Sequence[Addition]) -> None:
        """Store each message once, durably, and give each its receipt or its error.

        When the disk fails, every message that has no receipt yet fails.
        """
        try:
            self._commit(additions)
        except (OSError, SQLAlchemyError, sqlite3.Error) as error:
            self._forget_connection()
            if isinstance(error, sqlite3.Error):
                self._note_failure(error)
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
        connection = self._connect()
        driver = cast(sqlite3.Connection, connection.connection.dbapi_connection)
        with self._lock.held():
            self._refuse_lost_directory()
            known = self._first_receipts(driver, additions)
            firsts: dict[str, Addition] = {}
            for addition in additions:
                addition.receipt = known.get(addition.key)
                if addition.receipt is None:
                    firsts.setdefault(addition.key, addition)
            if firsts:
                self._store(connection, driver, list(firsts.values()))
        for addition in additions:
            if addition.receipt is None:  # a repeat in one group
                first = firsts[addition.key].receipt
                addition.receipt = first and first._replace(duplicate=True)

    def _store(
        self, connection: Connection, driver: sqlite3.Connection, additions: Sequence[Addition]
    ) -> None:
        stored = [addition.message for addition in additions]
        count = len(stored) + count_of(stored)
        new_numbers = next_numbers(self._lock, connection, count)
        numbers, of_deliveries = new_numbers[: len(stored)], new_numbers[len(stored) :]
        places = self._write_records(additions, numbers)
        try:
            self._insert_rows(driver, additions, places, numbers)
            make_deliveries(driver.execute, zip(numbers, stored, strict=True), of_deliveries)
            driver.commit()
        except BaseException:
            self._take_back(additions, places)
            raise
        for addition in additions:
            message = addition.message
            addition.body.is_stored = True
            addition.receipt = Receipt(message.message_id, message.received_at, duplicate=False)

    def _write_records(self, additions: Sequence[Addition], numbers: Sequence[int]) -> list[Place]:
        numbered = list(zip(additions, numbers, strict=True))
        large = {
            number: Place(0, segment.finish_large_message(addition.description, number))
            for addition, number in numbered
            if (segment := addition.body.segment) is not None
        }
        small = [
            NewRecord(MESSAGE, number, addition.description, addition.body.chunks)
            for addition, number in numbered
            if number not in large
        ]
        places = iter(self._segments.append(small))
        return [large.get(number) or next(places) for number in numbers]

    def _insert_rows(
        self,
        driver: sqlite3.Connection,
        additions: Sequence[Addition],
        places: Sequence[Place],
        numbers: Sequence[int],
    ) -> None:
        rows = [
            values_of(
                MessageRecord(number, each.message, each.body.size, each.sha256),
                place,
                number,
            )
            for number, each, place in zip(numbers, additions, places, strict=True)
        ]
        statement = insert_sql(self._engine.dialect, len(rows))
        # One statement for all rows: each releases the GIL and must wait to get it back.
        driver.execute(statement, tuple(chain.from_iterable(rows)))

    def _take_back(self, additions: Sequence[Addition], places: Sequence[Place]) -> None:
        """Cut off what got no row; large messages are discarded by their owners."""
        pairs = zip(additions, places, strict=True)
        small = [place.record_start for addition, place in pairs if addition.body.segment is None]
        if small:
            self._segments.take_back(small[0])

    def _first_receipts(
        self, driver: sqlite3.Connection, additions: Sequence[Addition]
    ) -> dict[str, Receipt]:
        keys = tuple([addition.key for addition in additions])
        # All rows are fetched, and nothing was begun: no snapshot stays that is soon an old one.
        rows = driver.execute(_first_sql(self._engine.dialect, len(keys)), keys + keys).fetchall()
        return {
            key: Receipt(message_id, moment_of(received_at_ms), duplicate=True)
            for key, message_id, received_at_ms in rows
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
            with suppress(SQLAlchemyError):
                self._connection.invalidate()
        self.close()
        self._engine.dispose()


@cache
def _first_sql(dialect: Dialect, count: int) -> str:
    marks = [literal_column("?", String)] * count
    stored, gone = (
        select(table.c.idempotency_key, table.c.id, table.c.received_at_ms).where(
            table.c.idempotency_key.in_(marks)
        )
        for table in (messages, deleted)
    )
    # Deleted ones first: a message that came after one was deleted has the last word.
    return str(gone.union_all(stored).compile(dialect=dialect))
