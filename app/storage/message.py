"""What a store keeps: messages with their envelopes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


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
    """A message that passed every check, ready to be stored with its bytes.

    `endpoints` has the names of the endpoints that it is for.
    """

    message_id: str
    received_at: datetime
    envelope: Envelope
    subject: str
    idempotency_key: str
    endpoints: tuple[str, ...] = ()


class Receipt(NamedTuple):
    """The promise that these bytes survive a power cut from now on.

    For a duplicate, `message_id` and `stored_at` are those of the first arrival.
    """

    message_id: str
    stored_at: datetime
    duplicate: bool


@dataclass(frozen=True)
class StoredMessage:
    """A row of the store; `size` in bytes, `sha256` of exactly the bytes received.

    `number` tells the order of arrival; no other message ever had it.
    """

    number: int
    message_id: str
    received_at: datetime
    envelope: Envelope
    subject: str
    size: int
    sha256: bytes


class Reason(StrEnum):
    """Why a message is deleted."""

    REQUEST = "request"
    RETENTION = "retention"


@dataclass(frozen=True)
class Statistics:
    """What a store has at the moment, and what was done with it since it was created.

    `bytes` is the sum of the messages' sizes; `passed_over` counts damaged parts of segments that
    starts have found. `kept_for_delivery` is how many messages retention would have deleted when it
    ran, if they had no deliveries that are pending or dead.
    """

    messages: int
    bytes: int
    deleted: Mapping[Reason, int]
    passed_over: int
    retention_ran_at: datetime | None
    kept_for_delivery: int
