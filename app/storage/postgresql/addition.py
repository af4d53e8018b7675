"""A message on its way into the database."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from app.domains import comparable_address
from app.storage.ids import milliseconds_since_epoch, moment_of
from app.storage.message import Message, Receipt
from app.storage.postgresql.spooled_body import SpooledBody
from app.storage.postgresql.texts import address_key, stored_key, stored_text

COLUMNS = {
    "idempotency_key": "text",
    "id": "uuid",
    "received_at_ms": "bigint",
    "sender": "text",
    "recipient": "text",
    "sender_key": "text",
    "recipient_key": "text",
    "subject": "text",
    "folded_subject": "text",
    "mail_from": "text",
    "queue_id": "text",
    "client_address": "text",
    "client_hostname": "text",
    "helo": "text",
    "size": "bigint",
    "sha256": "bytea",
    "object_key": "text",
}
"""The columns of a message that its `values` are for, in this order, with their types."""


@dataclass(slots=True)
class Addition:
    """One message to be stored; after the commit it has a receipt or an error.

    `object_key` is set when its bytes are in the object store. Raises UnicodeEncodeError when its
    envelope or subject can't be written.
    """

    message: Message
    body: SpooledBody
    object_key: str | None = None
    receipt: Receipt | None = None
    error: Exception | None = None
    key: str = field(init=False)
    endpoints: list[str] = field(init=False)
    _values: tuple[object, ...] = field(init=False)

    def __post_init__(self) -> None:
        message, envelope = self.message, self.message.envelope
        client = envelope.connection
        self.key = stored_key(message.idempotency_key)
        self.endpoints = list(map(stored_text, message.endpoints))
        self._values = (
            self.key,
            UUID(message.message_id),
            milliseconds_since_epoch(message.received_at),
            stored_text(envelope.sender),
            stored_text(envelope.recipient),
            stored_text(comparable_address(envelope.sender)),
            address_key(envelope.recipient),
            stored_text(message.subject),
            stored_text(message.subject.casefold()),
            _stored(envelope.mail_from),
            _stored(envelope.queue_id),
            _stored(client.client_address),
            _stored(client.client_hostname),
            _stored(client.helo),
            self.body.size,
            self.body.sha256(),
        )

    @property
    def values(self) -> tuple[object, ...]:
        """What COLUMNS are set to."""
        return (*self._values, self.object_key)

    def parts(self) -> Iterator[bytes]:
        """Yield the bytes that go into the database, in pieces; raises StorageUnavailable."""
        return self.body.parts() if self.object_key is None else iter(())


def receipt_of(row: Row[Any]) -> Receipt:
    """Return the receipt for a row of app.storage.postgresql.insertion."""
    return Receipt(str(row.id), moment_of(row.received_at_ms), duplicate=not row.is_new)


def _stored(text: str | None) -> str | None:
    return None if text is None else stored_text(text)
