"""Turns messages into the JSON objects of app.reading.schemas."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from app.mime.message import Attachment, ParsedMessage
from app.reading.schemas import MessageSchema, MessageSummarySchema
from app.storage.message import StoredMessage

_MESSAGE = MessageSchema()
_SUMMARY = MessageSummarySchema()


def describe(stored: StoredMessage, parsed: ParsedMessage) -> dict[str, Any]:
    """Return the object for a parsed message, ready for json.dumps; see MessageSchema."""
    members = vars(parsed) | {
        "from_": _as_objects(parsed.from_),
        "to": _as_objects(parsed.to),
        "cc": _as_objects(parsed.cc),
        "reply_to": _as_objects(parsed.reply_to),
        "attachments": [_attachment(stored.message_id, each) for each in parsed.attachments],
    }
    described: dict[str, Any] = _MESSAGE.dump(_stored(stored) | members)
    return described


def summarize(stored: StoredMessage, cursor: str) -> dict[str, Any]:
    """Return the object for a message in a list, ready for json.dumps; see MessageSummarySchema."""
    members = {"subject": stored.subject, "cursor": cursor}
    summary: dict[str, Any] = _SUMMARY.dump(_stored(stored) | members)
    return summary


def part_path(message_id: str, part: str) -> str:
    """Return the path of a part's content in the API."""
    return f"/messages/{message_id}/parts/{quote(part)}"


def _stored(stored: StoredMessage) -> dict[str, Any]:
    envelope = stored.envelope
    return {
        "id": stored.message_id,
        "received_at": stored.received_at,
        "size": stored.size,
        "sha256": stored.sha256.hex(),
        "envelope": vars(envelope) | vars(envelope.connection),
    }


def _attachment(message_id: str, attachment: Attachment) -> Mapping[str, Any]:
    return vars(attachment) | {"url": part_path(message_id, attachment.part)}


def _as_objects(mailboxes: Any) -> list[dict[str, str]]:
    return [mailbox._asdict() for mailbox in mailboxes]
