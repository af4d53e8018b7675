"""Stores messages: small ones a group at a time, each large one in a transaction of its own."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row
from sqlalchemy.exc import SQLAlchemyError

from app.errors import StorageUnavailable
from app.storage.message import Receipt
from app.storage.postgresql.addition import Addition, receipt_of
from app.storage.postgresql.connections import Connections
from app.storage.postgresql.durability import refuse_unless_kept
from app.storage.postgresql.insertion import insert

_ADD_PART = "INSERT INTO message_part (message_number, part, content) VALUES (%b, %b, %b)"


class Writer:
    """Writes for one process."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def commit(self, additions: Sequence[Addition]) -> None:
        """Store each message once, durably, and give each its receipt or its error."""
        try:
            receipts = self._store(additions)
        except (StorageUnavailable, SQLAlchemyError) as error:
            for addition in additions:
                addition.error = error
            return
        for addition in additions:
            addition.receipt = receipts[addition.key]
            # What comes again in the same group is a repeat.
            receipts[addition.key] = addition.receipt._replace(duplicate=True)

    def store_large(self, addition: Addition) -> Receipt:
        """Store a message that is too large for a group; raises as `commit` sets errors.

        A part is in memory at a time.
        """
        with self._connections.durable_transaction() as connection:
            row = _inserted(connection, [addition], {})[addition.key]
            if row.is_new:
                for part, content in enumerate(addition.body.parts()):
                    connection.exec_driver_sql(_ADD_PART, (row.number, part, content))
        return receipt_of(row)

    def _store(self, additions: Sequence[Addition]) -> dict[str, Receipt]:
        firsts: dict[str, Addition] = {}
        for addition in additions:
            firsts.setdefault(addition.key, addition)
        group = list(firsts.values())
        parts = {place: each.parts() for place, each in enumerate(group, 1)}
        with self._connections.durable_statements() as connection:
            rows = _inserted(connection, group, parts)
        return {key: receipt_of(row) for key, row in rows.items()}


def _inserted(
    connection: Connection, additions: Sequence[Addition], parts: Mapping[int, Iterable[bytes]]
) -> Mapping[str, Row[Any]]:
    rows = insert(connection, additions, parts)
    if not rows:
        refuse_unless_kept(connection)
        raise StorageUnavailable("The database server wouldn't have kept what it acknowledges.")
    return rows
