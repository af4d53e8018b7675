"""Converts messages to rows and back, and queries to statements."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, Select, select

from app.domains import comparable_address
from app.storage.body import Body
from app.storage.ids import first_message_id, milliseconds_since_epoch
from app.storage.interface import Query
from app.storage.message import Envelope, Message, SMTPClient, StoredMessage
from app.storage.segments.segment_file import Span
from app.storage.sqlite.tables import messages

# A StoredMessage has what is left.
_LOOKED_UP = {"idempotency_key", "recipient_key", "segment", "segment_offset"}
_SHOWN = [column for column in messages.columns if column.name not in _LOOKED_UP]

# The names of all segments, each looked up by the index: DISTINCT would read every row.
SEGMENTS_SQL = """
WITH RECURSIVE known (name) AS (
    SELECT min(segment) FROM message
    UNION ALL
    SELECT (SELECT min(segment) FROM message WHERE segment > known.name)
    FROM known WHERE known.name IS NOT NULL
) SELECT name FROM known WHERE name IS NOT NULL
"""


def selection(query: Query, after: str | None = None) -> Select[Any]:
    """Return the statement for `query`, without its limit; the rows after the id `after` only."""
    identity = messages.c.id
    statement = select(*_SHOWN).order_by(identity if query.oldest_first else identity.desc())
    if query.recipient is not None:
        key = comparable_address(query.recipient)
        statement = statement.where(messages.c.recipient_key == key)
    if query.since is not None:
        statement = statement.where(identity >= first_message_id(query.since))
    if query.until is not None:
        statement = statement.where(identity < first_message_id(query.until))
    if after is not None:
        statement = statement.where(identity > after if query.oldest_first else identity < after)
    return statement


def values_of(message: Message, body: Body, span: Span) -> dict[str, object]:
    """Return the row of `message`, whose bytes are in `span`."""
    envelope = message.envelope
    return {
        "id": message.message_id,
        "received_at_ms": milliseconds_since_epoch(message.received_at),
        "idempotency_key": message.idempotency_key,
        "sender": envelope.sender,
        "recipient": envelope.recipient,
        "subject": message.subject,
        "mail_from": envelope.mail_from,
        "queue_id": envelope.queue_id,
        "client_address": envelope.connection.client_address,
        "client_hostname": envelope.connection.client_hostname,
        "helo": envelope.connection.helo,
        "size": body.size,
        "sha256": body.sha256(),
        "segment": span.segment,
        "segment_offset": span.offset,
        "recipient_key": comparable_address(envelope.recipient),
    }


def stored_message(row: Row[Any]) -> StoredMessage:
    """Return the message in `row`."""
    connection = SMTPClient(row.client_address, row.client_hostname, row.helo)
    return StoredMessage(
        message_id=row.id,
        received_at=moment_of(row.received_at_ms),
        envelope=Envelope(row.sender, row.recipient, connection, row.mail_from, row.queue_id),
        subject=row.subject,
        size=row.size,
        sha256=row.sha256,
    )


def moment_of(milliseconds: int) -> datetime:
    """Return `milliseconds` since 1970 as an aware datetime in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
