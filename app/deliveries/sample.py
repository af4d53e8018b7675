"""Makes the sample that tests an endpoint; it is sent like any message, but not stored."""

import hashlib
from datetime import datetime
from email.utils import format_datetime

from app.deliveries.payload import Payload, message_payload, raw_payload
from app.deliveries.rendering import RAW
from app.settings.endpoints import Endpoint
from app.storage.ids import new_message_id
from app.storage.message import Envelope, StoredMessage

SUBJECT = "GoMail test"
_LOCAL_PART = "gomail-test"
_DOMAIN = "example.com"
_TEXT = """\
From: GoMail test <gomail-test@example.com>
To: <{recipient}>
Subject: {subject}
Date: {date}
Message-ID: <{message_id}@gomail.invalid>
Auto-Submitted: auto-generated
Content-Type: text/plain; charset=utf-8

This message was sent to test an endpoint. GoMail has not stored it.
"""


def sample_message(endpoint: Endpoint, now: datetime) -> tuple[StoredMessage, bytes]:
    """Return a sample for a recipient of the endpoint, with the null sender."""
    message_id, recipient = new_message_id(now), _recipient(endpoint.recipients[0])
    text = _TEXT.format(
        recipient=recipient, subject=SUBJECT, date=format_datetime(now), message_id=message_id
    )
    raw = text.replace("\n", "\r\n").encode()
    stored = StoredMessage(
        number=0,
        message_id=message_id,
        received_at=now,
        envelope=Envelope("", recipient),
        subject=SUBJECT,
        size=len(raw),
        sha256=hashlib.sha256(raw).digest(),
    )
    return stored, raw


def sample_payload(endpoint: Endpoint, stored: StoredMessage, raw: bytes) -> Payload:
    """Return the payload of the sample in the endpoint's format."""
    make = raw_payload if endpoint.format == RAW else message_payload
    return make(stored, raw)


def _recipient(pattern: str) -> str:
    """Return an address that matches `pattern`; see app.deliveries.routes."""
    local_part, _, domain = pattern.rpartition("@")
    if not domain or pattern == "*":
        return f"{_LOCAL_PART}@{_DOMAIN}"
    if local_part == "*":
        return f"{_LOCAL_PART}@{domain}"
    return f"{local_part.replace('*', 'test')}@{domain}"
