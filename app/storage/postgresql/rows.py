"""Converts rows of messages to messages."""

from typing import Any

from sqlalchemy import Row

from app.storage.ids import moment_of
from app.storage.message import Envelope, SMTPClient, StoredMessage
from app.storage.postgresql.texts import original_text

SHOWN = (
    "number, id, received_at_ms, sender, recipient, subject, mail_from, queue_id, client_address,"
    " client_hostname, helo, size, sha256, object_key"
)
"""The columns that `stored_message` needs, and app.storage.postgresql.contents."""


def stored_message(row: Row[Any]) -> StoredMessage:
    """Return the message in `row`."""
    client = SMTPClient(
        _original(row.client_address), _original(row.client_hostname), _original(row.helo)
    )
    return StoredMessage(
        number=row.number,
        message_id=str(row.id),
        received_at=moment_of(row.received_at_ms),
        envelope=Envelope(
            original_text(row.sender),
            original_text(row.recipient),
            client,
            _original(row.mail_from),
            _original(row.queue_id),
        ),
        subject=original_text(row.subject),
        size=row.size,
        sha256=row.sha256,
    )


def _original(stored: str | None) -> str | None:
    return None if stored is None else original_text(stored)
