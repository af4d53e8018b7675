"""Converts messages to rows and back, and queries to statements."""

from functools import cache
from typing import Any

from sqlalchemy import Dialect, Row, Select, insert, select

from app.domains import comparable_address
from app.storage.ids import first_message_id, milliseconds_since_epoch, moment_of
from app.storage.interface import Query
from app.storage.message import Envelope, SMTPClient, StoredMessage
from app.storage.segments.directory import Place
from app.storage.segments.record import MessageRecord
from app.storage.sqlite.tables import messages

# A StoredMessage has what is left.
_LOOKED_UP = {
    "idempotency_key",
    "record_number",
    "record_start",
    "recipient_key",
    "segment",
    "segment_offset",
}
_SHOWN = [column for column in messages.columns if column.name not in _LOOKED_UP]

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


def selection(query: Query) -> Select[Any]:
    """Return the statement for `query`, without its limit."""
    number, identity = messages.c.number, messages.c.id
    statement = select(*_SHOWN).order_by(number if query.oldest_first else number.desc())
    if query.recipient is not None:
        key = comparable_address(query.recipient)
        statement = statement.where(messages.c.recipient_key == key)
    if query.since is not None:
        statement = statement.where(identity >= first_message_id(query.since))
    if query.until is not None:
        statement = statement.where(identity < first_message_id(query.until))
    if query.after is not None:
        statement = statement.where(number > query.after)
    if query.before is not None:
        statement = statement.where(number < query.before)
    return statement


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
