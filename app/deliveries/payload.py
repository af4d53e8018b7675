"""Makes the payload of a request from the stored message, anew for each attempt."""

import logging
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from app.deliveries.fitting import fitting
from app.deliveries.payload_schemas import MESSAGE_RECEIVED
from app.mime.message import Attachment, ParsedMessage, parse, read_parts
from app.printable import UNPRINTABLE
from app.reading.describe import describe
from app.storage.message import StoredMessage
from app.storage.original_fields import original_fields

MAX_INLINE_BYTES = 64 * 1024
MAX_INLINE_BYTES_TOGETHER = 256 * 1024
"""The limits for an attachment in the payload, and for all of them together."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Payload:
    """The body of a request and its header fields, which are sent in ISO 8859-1."""

    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


def message_payload(stored: StoredMessage, raw: bytes) -> Payload:
    """Return the message as the JSON of app.deliveries.payload_schemas; never raises."""
    content = _read(stored, raw)
    data = describe(stored, content.message)
    for attachment in data["attachments"]:
        inline = content.inline.get(attachment["part"])
        attachment["content_base64"] = None if inline is None else b64encode(inline).decode()
    for name in ("html", "text", "headers", "attachments"):
        data[f"{name}_truncated"] = False
    data["parsed"] = content.is_parsed
    payload = {"type": MESSAGE_RECEIVED, "timestamp": data["received_at"], "data": data}
    return Payload(fitting(payload), "application/json")


def raw_payload(stored: StoredMessage, raw: bytes) -> Payload:
    """Return the message as it was received, with its envelope in header fields."""
    headers = {
        name: UNPRINTABLE.sub(" ", value)
        .encode()
        .decode("latin-1")  # no value may contain a line break
        for name, value in original_fields(stored.envelope).items()
    }
    return Payload(raw, "message/rfc822", headers)


class _Content(NamedTuple):
    """The decoded message; `inline` has the contents of attachments sent with it."""

    message: ParsedMessage
    inline: Mapping[str, bytes]
    is_parsed: bool


def _read(stored: StoredMessage, raw: bytes) -> _Content:
    try:
        message = parse(raw)
        return _Content(message, read_parts(raw, _inline(message.attachments)), is_parsed=True)
    except Exception:  # noqa: BLE001 -- a message must be sent despite a bug in GoMail
        _log.exception(
            "Message %s can't be decoded, and is sent without its content", stored.message_id
        )
        return _Content(_nothing(stored), {}, is_parsed=False)


def _nothing(stored: StoredMessage) -> ParsedMessage:
    return ParsedMessage(
        headers=(),
        header_message_id=None,
        in_reply_to=(),
        references=(),
        date=None,
        subject=stored.subject,
        from_=(),
        to=(),
        cc=(),
        reply_to=(),
        text=None,
        html=None,
        reply=None,
        attachments=(),
        defects=(),
        truncated=True,
    )


def _inline(attachments: Iterable[Attachment]) -> set[str]:
    """Return the numbers of the parts that fit, first come first served."""
    chosen: set[str] = set()
    left = MAX_INLINE_BYTES_TOGETHER
    for each in attachments:
        if each.size <= min(MAX_INLINE_BYTES, left):
            chosen.add(each.part)
            left -= each.size
    return chosen
