"""The durable store of one host: messages in segments, and an index of them in SQLite."""

import errno
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import cast

from sqlalchemy import func, select, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.errors import StorageUnavailable
from app.state.lock_file import locked
from app.storage.body import Body
from app.storage.delivery_queue import DeliveryQueue
from app.storage.group_commit import GroupCommit
from app.storage.ids import milliseconds_since_epoch, moment_of
from app.storage.interface import Arrivals, Page, Query, StoreRecorder
from app.storage.message import Message, Reason, Receipt, Statistics, StoredMessage
from app.storage.segments.directory import Segments
from app.storage.segments.spooled_body import SpooledBody
from app.storage.sqlite.checkpoint import Checkpoints
from app.storage.sqlite.completion import Completed, complete
from app.storage.sqlite.completion_log import log_completed
from app.storage.sqlite.connections import Connections
from app.storage.sqlite.counters import all_values, set_to
from app.storage.sqlite.database import BUSY_TIMEOUT_SECONDS
from app.storage.sqlite.deliveries.queue import SQLiteDeliveries
from app.storage.sqlite.deliveries.settlements import SETTLEMENTS
from app.storage.sqlite.erasing import Erasing
from app.storage.sqlite.failures import cause_of, failures_as_unavailable
from app.storage.sqlite.generation import generation_file
from app.storage.sqlite.probe import WriteProbe
from app.storage.sqlite.reading import Reading
from app.storage.sqlite.removal import Removal
from app.storage.sqlite.rows import SEGMENTS_SQL
from app.storage.sqlite.search import Search
from app.storage.sqlite.store_id import store_id
from app.storage.sqlite.tables import messages
from app.storage.sqlite.writer import Addition, Writer

MOST_IN_A_COMMIT = 64
PROBE_SECONDS = 2  # for those who wait to write, and write before


class SQLiteStore:
    """Messages under one data directory, which several processes may share."""

    def __init__(self, data_dir: Path, recorder: StoreRecorder | None = None) -> None:
        """Connect to a store that `create_store` has made; nothing is read or written yet.

        So a worker can start and report what is wrong even while the disk can't be written to.
        """
        self._recorder = recorder
        self._data_dir = data_dir
        self._segments = Segments(data_dir / "segments")
        self._connections = Connections(data_dir)
        self._engine = self._connections.usual
        self._probe = WriteProbe(data_dir / "segments", self._try_writing_rows)
        self._lock_file = data_dir / "commit.lock"
        self._writer = Writer(
            self._engine, self._segments, self._lock_file, self._connections.note_failure
        )
        self._checkpoints = Checkpoints(
            self._connections.impatient,
            self._lock_file,
            data_dir / "checkpoint.lock",
            generation_file(data_dir),
        )
        self._removal = Removal(self._engine, Segments(data_dir / "segments"), self._lock_file)
        self._erasing = Erasing(
            self._connections, self._segments, self._lock_file, generation_file(data_dir)
        )
        self._reading = Reading(self._engine, self._segments)
        self._search = Search(self._engine, self._segments)
        self._group = GroupCommit(self._commit, MOST_IN_A_COMMIT)
        self._deliveries = SQLiteDeliveries(
            self._engine,
            self._lock_file,
            data_dir / SETTLEMENTS,
            self._checkpoints.note_commit,
        )

    @property
    def deliveries(self) -> DeliveryQueue:
        """See MessageStore.deliveries."""
        return self._deliveries

    def new_body(self) -> Body:
        """See MessageStore.new_body."""
        return SpooledBody(self._segments.open_large)

    def add(self, message: Message, body: Body) -> Receipt:
        """See MessageStore.add."""
        spooled = cast(SpooledBody, body)  # from new_body
        try:
            addition = Addition(message, spooled)
            if spooled.segment is not None:
                with failures_as_unavailable():
                    spooled.segment.sync()
            self._group.add(addition)
            return _receipt_of(addition)
        except StorageUnavailable:
            if self._recorder:
                self._recorder.failed_add()
            raise
        finally:
            body.discard()

    def get(self, message_id: str) -> StoredMessage:
        """See MessageStore.get."""
        return self._reading.get(message_id)

    def ids_with_prefix(self, prefix: str, limit: int) -> list[str]:
        """See MessageStore.ids_with_prefix."""
        with failures_as_unavailable():
            return self._search.ids_with_prefix(prefix, limit)

    def read(self, message_id: str) -> bytes:
        """See MessageStore.read."""
        return self._reading.read(message_id)

    def find(self, message_id: str) -> tuple[StoredMessage, Callable[[], bytes]]:
        """See MessageStore.find."""
        return self._reading.find(message_id)

    def remove(self, message_ids: Sequence[str], reason: Reason) -> list[str]:
        """See MessageStore.remove."""
        with failures_as_unavailable():
            removed = self._removal.remove(message_ids, reason)
        self._checkpoints.note_commit()
        return removed

    def erase(self) -> None:
        """See MessageStore.erase."""
        # A record that has no row yet would be missed, if its message is deleted by its key.
        log_completed(self.complete(), self._data_dir)
        with failures_as_unavailable():
            self._erasing.erase()

    def forget_deleted(self, before: datetime) -> None:
        """See MessageStore.forget_deleted."""
        log_completed(self.complete(), self._data_dir)  # or it would come back later
        with failures_as_unavailable():
            self._erasing.forget(milliseconds_since_epoch(before))
        self._deliveries.forget_settlements()

    def retention_turn(self) -> AbstractContextManager[bool]:
        """See MessageStore.retention_turn; the data directory has one retention process."""
        return nullcontext(True)

    def note_retention(self, at: datetime, kept_for_delivery: int) -> None:
        """See MessageStore.note_retention."""
        with (
            failures_as_unavailable(),
            locked(self._lock_file, BUSY_TIMEOUT_SECONDS),
            self._engine.begin() as connection,
        ):
            set_to(connection, "retention_ran_at_ms", milliseconds_since_epoch(at))
            set_to(connection, "kept_for_delivery", kept_for_delivery)

    def statistics(self) -> Statistics:
        """See MessageStore.statistics."""
        with failures_as_unavailable(), self._engine.connect() as connection:
            values = all_values(connection)
        ran_at = values.get("retention_ran_at_ms")
        return Statistics(
            messages=values.get("messages", 0),
            bytes=values.get("bytes", 0),
            deleted={reason: values.get(f"deleted_{reason}", 0) for reason in Reason},
            passed_over=values.get("passed_over", 0),
            retention_ran_at=None if ran_at is None else moment_of(ran_at),
            kept_for_delivery=values.get("kept_for_delivery", 0),
        )

    def search(self, query: Query) -> Iterator[StoredMessage]:
        """See MessageStore.search."""
        with failures_as_unavailable():
            yield from self._search.search(query)

    def page(self, query: Query, scan_limit: int) -> Page:
        """See MessageStore.page."""
        with failures_as_unavailable():
            return self._search.page(query, scan_limit)

    def arrivals(self, after: int | None) -> Arrivals:
        """See MessageStore.arrivals."""
        with failures_as_unavailable():
            return self._search.arrivals(after)

    @contextmanager
    def watch(self) -> Iterator[Callable[[], int]]:
        """See MessageStore.watch."""
        with failures_as_unavailable(), self._search.watch() as version:
            yield version

    def identity(self) -> bytes:
        """See MessageStore.identity."""
        with failures_as_unavailable():
            return store_id(self._data_dir)

    def oldest_done(self, limit: int, after: str | None) -> list[StoredMessage]:
        """See MessageStore.oldest_done."""
        with failures_as_unavailable():
            return self._search.oldest_done(limit, after)

    def count_undone(self, before: datetime | None) -> int:
        """See MessageStore.count_undone."""
        with failures_as_unavailable():
            return self._search.count_undone(before)

    def count(self, query: Query) -> int:
        """See MessageStore.count."""
        with failures_as_unavailable():
            return self._search.count(query)

    def check(self) -> None:
        """See MessageStore.check."""
        try:
            with failures_as_unavailable():
                self._probe.check()
        except StorageUnavailable:
            if self._recorder:
                self._recorder.check(succeeded=False)
            raise
        if self._recorder:
            self._recorder.check(succeeded=True)

    def complete(self) -> Completed:
        """Complete the index from segments that nobody writes any more.

        Safe while other processes serve from the same directory. Raises StorageUnavailable.
        """
        with failures_as_unavailable():
            # First: what is half erased isn't a record any more, and would be taken for damage.
            self._erasing.erase_segments()
            return complete(self._engine, self._segments, self._lock_file)

    def missing_segments(self) -> dict[str, int]:
        """Return how many messages each segment had that isn't there; raises StorageUnavailable."""
        with failures_as_unavailable(), self._engine.connect() as connection:
            names = [row.segment for row in connection.exec_driver_sql(SEGMENTS_SQL)]
            missing = [name for name in names if not self._segments.has(name)]
            count = select(func.count()).select_from(messages)
            return {
                name: connection.execute(count.where(messages.c.segment == name)).scalar_one()
                for name in missing
            }

    def close(self) -> None:
        """See MessageStore.close."""
        self._checkpoints.close()
        self._writer.close()
        self._removal.close()
        self._deliveries.close()
        self._segments.close()
        self._connections.close()

    def _try_writing_rows(self) -> None:
        with locked(self._lock_file, PROBE_SECONDS):
            pass  # another process may be writing, and will finish
        try:
            with self._connections.probing.connect() as connection:
                connection.execute(update(messages).where(messages.c.number < 0).values(size=0))
        except DBAPIError as error:
            self._connections.probing.dispose()  # as in app.storage.sqlite.writer
            raise OSError(errno.EIO, f"the database: {error.orig}") from error

    def _commit(self, additions: Sequence[Addition]) -> None:
        self._writer.commit(additions)
        self._checkpoints.note_commit()
        taken = sum(addition.error is None for addition in additions)
        if taken and self._recorder:
            self._recorder.commit(taken)


def _receipt_of(addition: Addition) -> Receipt:
    if isinstance(addition.error, OSError | SQLAlchemyError | sqlite3.Error):
        # The whole group shares this exception, so it isn't raised itself.
        raise StorageUnavailable from cause_of(addition.error)
    if addition.error is not None:
        raise addition.error
    if addition.receipt is None:
        raise StorageUnavailable("The first copy of this message was removed in the meantime.")
    return addition.receipt
