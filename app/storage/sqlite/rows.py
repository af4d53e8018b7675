"""Converts messages to rows and back."""

from functools import cache
from typing import Any

from sqlalchemy import Dialect, Row, insert

from app.domains import comparable_address
from app.storage.ids import milliseconds_since_epoch, moment_of
from app.storage.message import Envelope, SMTPClient, StoredMessage
from app.storage.segments.directory import Place
from app.storage.segments.record import MessageRecord
from app.storage.sqlite.tables import messages

# Of each segment the last row, looked up by the index: grouping would read every row.
SEGMENTS_SQL = """
WITH RECURSIVE known (name) AS (
    SELECT min(segment) FROM message
    UNION ALL
    SELECT (SELECT min(segment) FROM message WHERE segment > known.name)
    FROM known WHERE known.name IS NOT NULL
)
SELECT segment, record_start, segment_offset + size AS "end" FROM known JOIN message
ON message.number = (
    SELECT number FROM message WHERE segment = known.name
    ORDER BY segment_offset DESC, size DESC LIMIT 1
)
"""


def values_of(record: MessageRecord, place: Place, number: int) -> tuple[object, ...]:
    """Return the row of the message in `record`, in the order of the table's columns."""
    message = record.message
    envelope = message.envelope
    client = envelope.connection
    return (
        number,
        record.number,
        message.message_id,
        milliseconds_since_epoch(message.received_at),
        message.idempotency_key,
        envelope.sender,
        envelope.recipient,
        message.subject,
        envelope.mail_from,
        envelope.queue_id,
        client.client_address,
        client.client_hostname,
        client.helo,
        record.size,
        record.sha256,
        place.content.segment,
        place.content.offset,
        place.record_start,
        comparable_address(envelope.recipient),
    )


def stored_message(row: Row[Any]) -> StoredMessage:
    """Return the message in `row`."""
    connection = SMTPClient(row.client_address, row.client_hostname, row.helo)
    return StoredMessage(
        number=row.number,
        message_id=row.id,
        received_at=moment_of(row.received_at_ms),
        envelope=Envelope(row.sender, row.recipient, connection, row.mail_from, row.queue_id),
        subject=row.subject,
        size=row.size,
        sha256=row.sha256,
    )


@cache
def insert_sql(dialect: Dialect, count: int) -> str:
    """Return the statement that inserts `count` messages, whose values follow one another."""
    rows = [dict.fromkeys(messages.columns.keys(), "")] * count
    return str(insert(messages).values(rows).compile(dialect=dialect))
