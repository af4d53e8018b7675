"""Reads the bytes of messages, from the database or the object store."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row

from app.errors import StorageUnavailable
from app.storage.objects.store import Objects
from app.storage.postgresql.connections import Connections
from app.storage.postgresql.spooled_body import PART_BYTES

_PART = "SELECT content FROM message_part WHERE message_number = %b AND part = %b"
# Of a part only as much is read as is asked for.
_BEGINNINGS = """
SELECT message_number, string_agg(substring(content FOR %b), '' ORDER BY part) AS beginning
FROM message_part WHERE message_number = ANY(%b::bigint[]) AND part < %b
GROUP BY message_number
"""


class Contents:
    """The bytes of stored messages; every method raises SQLAlchemyError, StorageUnavailable."""

    def __init__(self, connections: Connections, objects: Objects | None) -> None:
        self._connections = connections
        self._objects = objects

    def read(self, row: Row[Any]) -> bytes | None:
        """Return the bytes of the message in `row`; None if some aren't there.

        A part is in memory at a time, beside the result.
        """
        content = io.BytesIO()
        if row.object_key is not None:
            content.writelines(self._object_store().read(row.object_key, row.size))
            return content.getvalue()
        with self._connections.statements() as connection:
            for part in range(-(-row.size // PART_BYTES)):
                piece = connection.exec_driver_sql(_PART, (row.number, part)).scalar()
                if piece is None:
                    return None
                content.write(piece)
        return content.getvalue()

    def beginnings(self, rows: Sequence[Row[Any]], most: int) -> Mapping[int, bytes]:
        """Return the first `most` bytes of messages by their numbers, without those that are gone.

        There may be some more bytes.
        """
        elsewhere = [row for row in rows if row.object_key is not None]
        numbers = [row.number for row in rows if row.object_key is None]
        parameters = (most, numbers, -(-most // PART_BYTES))
        with self._connections.statements() as connection:
            rows = connection.exec_driver_sql(_BEGINNINGS, parameters).all()
        found = {row.message_number: row.beginning for row in rows}
        for row in elsewhere:
            size = min(row.size, most)
            found[row.number] = self._object_store().read_beginning(row.object_key, size)
        return found

    def _object_store(self) -> Objects:
        if self._objects is None:
            raise StorageUnavailable("These bytes are in an object store: set object_store_url.")
        return self._objects
