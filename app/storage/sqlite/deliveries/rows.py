"""Writes and reads the rows of deliveries."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row

from app.storage.delivery import Delivery, State
from app.storage.ids import milliseconds_since_epoch, moment_of
from app.storage.message import Message

# As text, like the statements of app.storage.sqlite.removal. One statement for any number of rows,
# as in app.storage.sqlite.writer: a different text for each number would be parsed each time.
_MAKE = """
INSERT INTO delivery
    (number, message_number, endpoint, created_at_ms, due_at_ms, claimable_at_ms)
SELECT number, message_number, endpoint, at_ms, at_ms, at_ms
FROM (
    SELECT json_extract(value, '$[0]') AS number, json_extract(value, '$[1]') AS message_number,
        json_extract(value, '$[2]') AS endpoint, json_extract(value, '$[3]') AS at_ms
    FROM json_each(?)
)
"""

# CROSS JOIN keeps the order of the tables.
OF_MESSAGES = """
SELECT delivery.number, message.id AS message_id, delivery.message_number, delivery.endpoint,
    message.recipient, message.recipient_key, delivery.state, delivery.attempts,
    delivery.due_at_ms, delivery.is_replay, delivery.created_at_ms, delivery.settled_at_ms,
    delivery.reason, delivery.lease, delivery.claimable_at_ms
FROM ({deliveries}) AS delivery
CROSS JOIN message ON message.number = delivery.message_number
"""
"""Joins the messages to the rows of `deliveries`, a statement that selects from the table."""
CHOSEN = OF_MESSAGES.format(
    deliveries="SELECT * FROM delivery WHERE number IN (SELECT value FROM json_each(?))"
)


def count_of(messages: Iterable[Message]) -> int:
    """Return the number of deliveries that messages will have."""
    return sum(len(message.endpoints) for message in messages)


def make_deliveries(
    execute: Callable[[str, tuple[str]], object],
    stored: Iterable[tuple[int, Message]],
    numbers: Iterable[int],
) -> None:
    """Create the deliveries of messages, given with their numbers; `numbers` are for deliveries.

    `execute` is a connection's, SQLAlchemy's or the driver's.
    """
    new = iter(numbers)
    rows = [
        (next(new), number, endpoint, milliseconds_since_epoch(message.received_at))
        for number, message in stored
        for endpoint in message.endpoints
    ]
    if rows:
        execute(_MAKE, (json.dumps(rows),))


def chosen(connection: Connection, numbers: Sequence[int]) -> Sequence[Row[Any]]:
    """Return the rows with these numbers, the longest due first."""
    given = (json.dumps(list(numbers)),)
    rows = connection.exec_driver_sql(CHOSEN, given).all()
    return sorted(rows, key=lambda row: (row.due_at_ms, row.number))


def delivery_of(row: Row[Any]) -> Delivery:
    """Return the delivery in a row of OF_MESSAGES."""
    state = State(row.state)
    return Delivery(
        number=row.number,
        message_id=row.message_id,
        message_number=row.message_number,
        endpoint=row.endpoint,
        recipient=row.recipient,
        state=state,
        attempts=row.attempts,
        due_at=moment_of(row.due_at_ms) if state is State.PENDING else None,
        is_replay=bool(row.is_replay),
        created_at=moment_of(row.created_at_ms),
        settled_at=None if row.settled_at_ms is None else moment_of(row.settled_at_ms),
        reason=row.reason,
    )
