"""What a store keeps: messages with their envelopes."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class SMTPClient:
    """The SMTP client as the relay saw it; each part is None when the relay didn't say."""

    client_address: str | None = None
    client_hostname: str | None = None
    helo: str | None = None


UNKNOWN_CLIENT = SMTPClient()
"""When the client is unknown."""


@dataclass(frozen=True)
class Envelope:
    """The sender and recipient of a message as SMTP sees them (RFC 5321 section 2.3.1).

    `sender` is "" for the null sender (RFC 5321 section 4.5.5).
    """

    sender: str
    recipient: str
    connection: SMTPClient = UNKNOWN_CLIENT
    mail_from: str | None = None
    queue_id: str | None = None


@dataclass(frozen=True)
class Message:
    """A message that passed every check, ready to be stored with its bytes."""

    message_id: str
    received_at: datetime
    envelope: Envelope
    subject: str
    idempotency_key: str


@dataclass(frozen=True)
class Receipt:
    """The promise that these bytes survive a power cut from now on.

    For a duplicate, `message_id` and `stored_at` are those of the first arrival.
    """

    message_id: str
    stored_at: datetime
    duplicate: bool


@dataclass(frozen=True)
class StoredMessage:
    """A row of the store; `size` in bytes, `sha256` of exactly the bytes received."""

    message_id: str
    received_at: datetime
    envelope: Envelope
    subject: str
    size: int
    sha256: bytes
