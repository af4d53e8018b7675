"""Reads and locks the rows of deliveries."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from app.storage.delivery import Delivery, State
from app.storage.ids import moment_of
from app.storage.postgresql.texts import original_text

OF_MESSAGES = """
SELECT delivery.number, message.id AS message_id, delivery.message_number, delivery.endpoint,
    message.recipient, message.recipient_key, delivery.state, delivery.attempts, delivery.tries,
    delivery.due_at_ms, delivery.is_replay, delivery.created_at_ms, delivery.settled_at_ms,
    delivery.reason
FROM {deliveries} AS delivery JOIN message ON message.number = delivery.message_number
"""
"""Joins the messages to the rows of `deliveries`, a table or a statement in parentheses."""
# All who wait for the locks of several deliveries take them in this order, and so never wait in a
# circle.
LOCK = """
SELECT number, lease, attempts, state FROM delivery
WHERE number = ANY(%(numbers)s::bigint[]) ORDER BY number FOR UPDATE
"""


def locked(connection: Connection, numbers: Sequence[int]) -> Sequence[Row[Any]]:
    """Lock the deliveries with these numbers until the transaction ends, and return them."""
    return connection.exec_driver_sql(LOCK, {"numbers": list(numbers)}).all()


def delivery_of(row: Row[Any]) -> Delivery:
    """Return the delivery in a row of OF_MESSAGES."""
    state = State(row.state)
    return Delivery(
        number=row.number,
        message_id=str(row.message_id),
        message_number=row.message_number,
        endpoint=row.endpoint,
        recipient=original_text(row.recipient),
        state=state,
        attempts=row.attempts,
        due_at=moment_of(row.due_at_ms) if state is State.PENDING else None,
        is_replay=row.is_replay,
        created_at=moment_of(row.created_at_ms),
        settled_at=None if row.settled_at_ms is None else moment_of(row.settled_at_ms),
        reason=None if row.reason is None else original_text(row.reason),
    )
