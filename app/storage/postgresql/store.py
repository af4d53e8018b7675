"""The durable store of several hosts: messages in PostgreSQL."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from functools import partial
from typing import Any, cast

from sqlalchemy import Row
from sqlalchemy.exc import SQLAlchemyError

from app.errors import MessageCorrupt, MessageNotFound, StorageUnavailable
from app.settings import Storage
from app.storage.body import Body
from app.storage.delivery_queue import DeliveryQueue
from app.storage.group_commit import GroupCommit
from app.storage.interface import Arrivals, DatabaseRecorder, Page, Query
from app.storage.message import Message, Reason, Receipt, Statistics, StoredMessage
from app.storage.objects.store import Objects
from app.storage.postgresql.addition import Addition
from app.storage.postgresql.connections import Connections
from app.storage.postgresql.contents import Contents
from app.storage.postgresql.deliveries.queue import PostgreSQLDeliveries
from app.storage.postgresql.failures import cause_of, failures_as_unavailable
from app.storage.postgresql.figures import Figures
from app.storage.postgresql.probe import WriteProbe
from app.storage.postgresql.removal import Removal
from app.storage.postgresql.retention_turn import retention_turn
from app.storage.postgresql.rows import SHOWN, stored_message
from app.storage.postgresql.search import Search, is_id
from app.storage.postgresql.spooled_body import SpooledBody
from app.storage.postgresql.writer import Writer

MOST_IN_A_COMMIT = 64
_BY_ID = f"SELECT {SHOWN} FROM message WHERE id = %b::uuid AND deleted_at_ms IS NULL"
_IDENTITY = "SELECT identity FROM store"


class PostgreSQLStore:
    """Messages in one database, which several hosts may share."""

    def __init__(self, settings: Storage, recorder: DatabaseRecorder | None = None) -> None:
        """Use a store that `prepare` has prepared; nothing is opened yet.

        So a worker can start and report what is wrong even while the database doesn't answer, and
        a process can be forked.
        """
        self._settings = settings
        self._recorder = recorder
        self._connections = Connections(settings, recorder=recorder)
        self._objects = None
        if settings.objects is not None:
            self._objects = Objects(settings.objects, settings.timeout, recorder)
        self._contents = Contents(self._connections, self._objects)
        self._writer = Writer(self._connections)
        self._group = GroupCommit(self._commit, MOST_IN_A_COMMIT)
        self._search = Search(self._connections, self._contents)
        self._removal = Removal(self._connections, self._objects)
        self._figures = Figures(self._connections)
        self._deliveries = PostgreSQLDeliveries(self._connections)
        self._probe = WriteProbe(self._connections)
        self._identity: bytes | None = None

    @property
    def deliveries(self) -> DeliveryQueue:
        """See MessageStore.deliveries."""
        return self._deliveries

    def new_body(self) -> Body:
        """See MessageStore.new_body."""
        return SpooledBody(self._settings.data_dir)

    def add(self, message: Message, body: Body) -> Receipt:
        """See MessageStore.add."""
        spooled = cast(SpooledBody, body)  # from new_body
        try:
            return self._add(Addition(message, spooled))
        except StorageUnavailable:
            if self._recorder:
                self._recorder.failed_add()
            raise
        finally:
            body.discard()

    def get(self, message_id: str) -> StoredMessage:
        """See MessageStore.get."""
        return stored_message(self._row(message_id))

    def ids_with_prefix(self, prefix: str, limit: int) -> list[str]:
        """See MessageStore.ids_with_prefix."""
        with failures_as_unavailable():
            return self._search.ids_with_prefix(prefix, limit)

    def read(self, message_id: str) -> bytes:
        """See MessageStore.read."""
        return self._read(self._row(message_id))

    def find(self, message_id: str) -> tuple[StoredMessage, Callable[[], bytes]]:
        """See MessageStore.find."""
        row = self._row(message_id)
        return stored_message(row), partial(self._read, row)

    def remove(self, message_ids: Sequence[str], reason: Reason) -> list[str]:
        """See MessageStore.remove."""
        with failures_as_unavailable():
            return self._removal.remove(message_ids, reason)

    def erase(self) -> None:
        """See MessageStore.erase; what is in the database's own files, its autovacuum erases."""
        with failures_as_unavailable():
            self._removal.erase()

    def forget_deleted(self, before: datetime) -> None:
        """See MessageStore.forget_deleted."""
        with failures_as_unavailable():
            self._removal.forget(before)

    def retention_turn(self) -> AbstractContextManager[bool]:
        """See MessageStore.retention_turn."""
        return retention_turn(self._settings)

    def note_retention(self, at: datetime, kept_for_delivery: int) -> None:
        """See MessageStore.note_retention."""
        with failures_as_unavailable():
            self._figures.note_retention(at, kept_for_delivery)
            # Reading merges what was noted, which else nobody may read: metrics can be off.
            self._figures.statistics()
            self._deliveries.figures()

    def statistics(self) -> Statistics:
        """See MessageStore.statistics."""
        with failures_as_unavailable():
            return self._figures.statistics()

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
        if self._identity is None:
            with failures_as_unavailable(), self._connections.statements() as connection:
                self._identity = bytes(connection.exec_driver_sql(_IDENTITY).scalar_one())
        return self._identity

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
            self._probe.check()
            if self._objects is not None:
                self._objects.check()
        except StorageUnavailable:
            if self._recorder:
                self._recorder.check(succeeded=False)
            raise
        if self._recorder:
            self._recorder.check(succeeded=True)

    def close(self) -> None:
        """See MessageStore.close."""
        self._connections.close()

    def _add(self, addition: Addition) -> Receipt:
        objects, limits = self._objects, self._settings.objects
        if objects is not None and limits is not None and addition.body.size >= limits.from_bytes:
            return self._add_with_object(addition, objects)
        if not addition.body.is_large:
            self._group.add(addition)
            return _receipt_of(addition)
        with failures_as_unavailable():
            receipt = self._writer.store_large(addition)
        self._count(1)
        return receipt

    def _add_with_object(self, addition: Addition, objects: Objects) -> Receipt:
        """Store the bytes first: a row never names an object that isn't there.

        After a failure the object stays, since the row may have been committed all the same.
        """
        message = addition.message
        name = objects.names.new(message.message_id, message.received_at)
        objects.put(name, addition.body.parts())
        addition.object_key = name
        self._group.add(addition)
        receipt = _receipt_of(addition)
        if receipt.duplicate:
            with suppress(StorageUnavailable):  # then `objects sweep` finds it
                objects.remove([name])
        return receipt

    def _commit(self, additions: Sequence[Addition]) -> None:
        self._writer.commit(additions)
        self._count(sum(addition.error is None for addition in additions))

    def _count(self, taken: int) -> None:
        if taken and self._recorder:
            self._recorder.commit(taken)

    def _read(self, row: Row[Any]) -> bytes:
        try:
            with failures_as_unavailable():
                raw = self._contents.read(row)
        except StorageUnavailable:
            self._row(str(row.id))  # its object is missing if it was deleted in the meantime
            raise
        if raw is None or hashlib.sha256(raw).digest() != row.sha256:
            self._row(str(row.id))  # it may have been deleted in the meantime
            raise MessageCorrupt(f"The stored bytes of message {row.id} are damaged.")
        return raw

    def _row(self, message_id: str) -> Row[Any]:
        row = None
        if is_id(message_id):
            with failures_as_unavailable(), self._connections.statements() as connection:
                row = connection.exec_driver_sql(_BY_ID, (message_id,)).first()
        if row is None:
            raise MessageNotFound(f"No message has the id {message_id!r}.")
        return row


def _receipt_of(addition: Addition) -> Receipt:
    if addition.error is None and addition.receipt is not None:
        return addition.receipt
    # The whole group shares this exception, so it isn't raised itself.
    if isinstance(addition.error, SQLAlchemyError):
        raise StorageUnavailable from cause_of(addition.error)
    raise StorageUnavailable(str(addition.error))
