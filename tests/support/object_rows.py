"""Rows of a PostgreSQL store that name objects, as the store's own would."""

from uuid import uuid4

from sqlalchemy import Connection

_MESSAGE = """
INSERT INTO message (number, id, idempotency_key, received_at_ms, sender, recipient, sender_key,
    recipient_key, subject, folded_subject, size, sha256, object_key)
SELECT coalesce(max(number), 0) + 1, %(id)s::uuid, %(id)s::text, 0, '', '', '', '', '', '', 4, '',
    %(object)s::text
FROM message
"""


def add_message(connection: Connection, object_key: str | None) -> None:
    """Add the row of a message whose bytes are in this object, or None if they are in rows."""
    connection.exec_driver_sql(_MESSAGE, {"id": str(uuid4()), "object": object_key})


def add_erasure(connection: Connection, object_key: str) -> None:
    """Add the row of an object that is about to be erased."""
    connection.exec_driver_sql("INSERT INTO erasure VALUES (%s)", (object_key,))
