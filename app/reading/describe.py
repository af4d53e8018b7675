"""Turns messages into the JSON objects of app.reading.schemas.

marshmallow itself would take as long as decoding the message; the tests compare the members.
"""

from typing import Any
from urllib.parse import quote

from app.mime.message import Attachment, ParsedMessage
from app.storage.message import StoredMessage


def describe(stored: StoredMessage, parsed: ParsedMessage) -> dict[str, Any]:
    """Return the object for a parsed message, ready for json.dumps; see MessageSchema."""
    return _stored(stored) | {
        "headers": [list(each) for each in parsed.headers],
        "header_message_id": parsed.header_message_id,
        "in_reply_to": list(parsed.in_reply_to),
        "references": list(parsed.references),
        "date": None if parsed.date is None else parsed.date.isoformat(),
        "subject": parsed.subject,
        "from": _as_objects(parsed.from_),
        "to": _as_objects(parsed.to),
        "cc": _as_objects(parsed.cc),
        "reply_to": _as_objects(parsed.reply_to),
        "text": parsed.text,
        "html": parsed.html,
        "reply": None if parsed.reply is None else parsed.reply._asdict(),
        "attachments": [_attachment(stored.message_id, each) for each in parsed.attachments],
        "defects": list(parsed.defects),
        "truncated": parsed.truncated,
    }


def summarize(stored: StoredMessage, cursor: str) -> dict[str, Any]:
    """Return the object for a message in a list, ready for json.dumps; see MessageSummarySchema."""
    return _stored(stored) | {"subject": stored.subject, "cursor": cursor}


def part_path(message_id: str, part: str) -> str:
    """Return the path of a part's content in the API."""
    return f"/messages/{message_id}/parts/{quote(part)}"


def _stored(stored: StoredMessage) -> dict[str, Any]:
    envelope, client = stored.envelope, stored.envelope.connection
    return {
        "id": stored.message_id,
        "received_at": stored.received_at.isoformat(),
        "size": stored.size,
        "sha256": stored.sha256.hex(),
        "envelope": {
            "sender": envelope.sender,
            "recipient": envelope.recipient,
            "mail_from": envelope.mail_from,
            "queue_id": envelope.queue_id,
            "client_address": client.client_address,
            "client_hostname": client.client_hostname,
            "helo": client.helo,
        },
    }


def _attachment(message_id: str, attachment: Attachment) -> dict[str, Any]:
    return vars(attachment) | {"url": part_path(message_id, attachment.part)}


def _as_objects(mailboxes: Any) -> list[dict[str, str]]:
    return [mailbox._asdict() for mailbox in mailboxes]
