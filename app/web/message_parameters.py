"""The parameters of the routes for messages; the OpenAPI document is generated from them."""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from app.storage.ids import ID_PATTERN
from app.web.parameters import (
    LONGEST_TEXT,
    SOME_TEXT,
    Moment,
    NoParameters,
    WholeNumber,
    without_space,
)

MOST_LISTED = 200
MOST_DELETED = 500
LONGEST_WAIT_SECONDS = 20


class ListParameters(NoParameters):
    """The parameters of GET /messages."""

    after = fields.String(
        metadata={
            "description": "Cursor: return messages stored after it, oldest first; an empty one"
            " starts with the oldest message"
        }
    )
    before = fields.String(
        metadata={
            "description": "Cursor: return messages stored before it, newest first; the default, as"
            " an empty one, is to start with the newest message"
        }
    )
    limit = WholeNumber(
        load_default=50,
        validate=validate.Range(1, MOST_LISTED),
        metadata={"description": f"Largest number of messages, 1 to {MOST_LISTED}; default 50"},
    )
    recipient = fields.String(
        validate=[SOME_TEXT, without_space],
        metadata={"description": "Envelope recipient, one address, in upper or lower case"},
    )
    sender = fields.String(
        validate=[validate.Length(max=LONGEST_TEXT), without_space],
        metadata={
            "description": "Envelope sender, one address, in upper or lower case; empty for the"
            " null sender"
        },
    )
    subject = fields.String(
        validate=SOME_TEXT,
        metadata={"description": "Text that the subject contains, in upper or lower case"},
    )
    since = Moment(
        format="iso",
        metadata={
            "description": "Received at this date or time or later; UTC unless it has a time zone"
        },
    )
    until = Moment(format="iso", metadata={"description": "Received before this date or time"})
    queue_id = fields.String(validate=SOME_TEXT, metadata={"description": "The relay's queue id"})
    header_message_id = fields.String(
        validate=SOME_TEXT,
        metadata={"description": "Message-ID, with or without angle brackets"},
    )
    wait = WholeNumber(
        load_default=0,
        validate=validate.Range(0, LONGEST_WAIT_SECONDS),
        metadata={
            "description": "Seconds to wait if no message matches yet, 0 to"
            f" {LONGEST_WAIT_SECONDS}; needs `after`"
        },
    )

    @validates_schema
    def _check_direction(self, data: Mapping[str, Any], **_: object) -> None:
        if "after" in data and "before" in data:
            raise ValidationError("Can't be used together with after.", "before")
        if data.get("wait") and "after" not in data:
            raise ValidationError("Needs after, which may be empty.", "wait")


class MessageIdsSchema(NoParameters):
    """The body of POST /messages/delete."""

    ids = fields.List(
        fields.String(
            validate=validate.Regexp(f"^{ID_PATTERN}\\Z", error="Must be the id of a message."),
            metadata={"format": "uuid"},
        ),
        required=True,
        validate=validate.Length(1, MOST_DELETED),
    )
