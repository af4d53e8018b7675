"""Reads single messages: the row of each, and its bytes from a segment."""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Engine, Row, bindparam, select

from app.errors import MessageCorrupt, MessageNotFound, StorageUnavailable
from app.storage.message import StoredMessage
from app.storage.segments.directory import Segments
from app.storage.segments.segment_file import Span
from app.storage.sqlite.failures import failures_as_unavailable
from app.storage.sqlite.rows import stored_message
from app.storage.sqlite.tables import messages

_BY_ID = select(messages).where(messages.c.id == bindparam("id"))


class Reading:
    """Implements how MessageStore reads a message."""

    def __init__(self, engine: Engine, segments: Segments) -> None:
        self._engine = engine
        self._segments = segments

    def get(self, message_id: str) -> StoredMessage:
        """See MessageStore.get."""
        return stored_message(self._row(message_id))

    def read(self, message_id: str) -> bytes:
        """See MessageStore.read."""
        return self._read(self._row(message_id))

    def find(self, message_id: str) -> tuple[StoredMessage, Callable[[], bytes]]:
        """See MessageStore.find."""
        row = self._row(message_id)
        return stored_message(row), partial(self._read, row)

    def _read(self, row: Row[Any]) -> bytes:
        try:
            return self._read_at(row)
        except (MessageCorrupt, StorageUnavailable):
            now = self._row(row.id)  # it may have been deleted or copied in the meantime
            if _place_of(now) == _place_of(row):
                raise
            return self._read_at(now)

    def _read_at(self, row: Row[Any]) -> bytes:
        with failures_as_unavailable():
            raw = self._segments.read(_place_of(row))
        if hashlib.sha256(raw).digest() != row.sha256:
            raise MessageCorrupt(f"The stored bytes of message {row.id} are damaged.")
        return raw

    def _row(self, message_id: str) -> Row[Any]:
        with failures_as_unavailable(), self._engine.connect() as connection:
            row = connection.execute(_BY_ID, {"id": message_id}).first()
        if row is None:
            raise MessageNotFound(f"No message has the id {message_id!r}.")
        return row


def _place_of(row: Row[Any]) -> Span:
    return Span(row.segment, row.segment_offset, row.size)
