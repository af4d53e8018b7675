"""The parameters of the routes for messages; the OpenAPI document is generated from them."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate, validates_schema
from werkzeug.datastructures import MultiDict

from app.errors import BadRequest, FieldFault
from app.storage.ids import ID_PATTERN

MOST_LISTED = 200
MOST_DELETED = 500
LONGEST_WAIT_SECONDS = 20

_DIGITS = re.compile(r"[0-9]{1,9}")
_LONGEST_TEXT = 1000
_SOME_TEXT = validate.Length(min=1, max=_LONGEST_TEXT)


def _without_space(address: str) -> None:
    # A + that is not encoded arrives as a space, and nothing would be found.
    if " " in address and '"' not in address:
        raise ValidationError("An address has no space in it; write a + as %2B.")


class WholeNumber(fields.Integer):
    """A whole number in ASCII digits, without a sign."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if not _DIGITS.fullmatch(value):
            raise ValidationError("Must be a whole number, in digits only.")
        return int(value)


class Moment(fields.AwareDateTime):
    """A date or time in ISO 8601, in UTC unless it has a time zone."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        try:
            moment = datetime.fromisoformat(value)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError) as error:
            plus = " In a URL, write the + of a time zone as %2B." if " " in value else ""
            raise ValidationError(
                f"Must be a time such as 2026-01-31T12:00:00Z, or a date.{plus}"
            ) from error


class NoParameters(Schema):
    """The parameters of routes without parameters."""

    class Meta:
        """Refuses unknown parameters: to ignore a misspelled filter would return too much."""

        unknown = RAISE


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
        validate=[_SOME_TEXT, _without_space],
        metadata={"description": "Envelope recipient, one address, in upper or lower case"},
    )
    sender = fields.String(
        validate=[validate.Length(max=_LONGEST_TEXT), _without_space],
        metadata={
            "description": "Envelope sender, one address, in upper or lower case; empty for the"
            " null sender"
        },
    )
    subject = fields.String(
        validate=_SOME_TEXT,
        metadata={"description": "Text that the subject contains, in upper or lower case"},
    )
    since = Moment(
        format="iso",
        metadata={
            "description": "Received at this date or time or later; UTC unless it has a time zone"
        },
    )
    until = Moment(format="iso", metadata={"description": "Received before this date or time"})
    queue_id = fields.String(validate=_SOME_TEXT, metadata={"description": "The relay's queue id"})
    header_message_id = fields.String(
        validate=_SOME_TEXT,
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


def load_query(schema: Schema, query: MultiDict[str, str]) -> Mapping[str, Any]:
    """Return the parameters in a query string; raises BadRequest with every fault found."""
    doubled = [name for name, values in query.lists() if len(values) > 1]
    if doubled:
        raise BadRequest(
            "Each parameter may be given only once.",
            [FieldFault(name, "Is given more than once.") for name in doubled],
        )
    return load(schema, query.to_dict(), "Some parameters in the query string are wrong.")


def load(schema: Schema, given: Mapping[str, Any], detail: str) -> Mapping[str, Any]:
    """Load `given` with `schema`; raises BadRequest with `detail` and every fault found."""
    try:
        loaded: Mapping[str, Any] = schema.load(given)
    except ValidationError as error:
        faults = list(_flat("", error.messages_dict, list(schema.fields)))
        raise BadRequest(detail, faults) from error
    return loaded


def _flat(path: str, found: Any, known: Sequence[str]) -> Iterator[FieldFault]:
    if isinstance(found, dict):
        for name, inner in found.items():
            yield from _flat(f"{path}.{name}".lstrip("."), inner, known)
    else:
        yield FieldFault(path, " ".join(_explained(path, message, known) for message in found))


def _explained(name: str, message: str, known: Sequence[str]) -> str:
    if message != "Unknown field.":
        return message
    if not known:
        return "Is unknown: this route has no parameters."
    [nearest] = difflib.get_close_matches(name[:100].lower(), known, n=1, cutoff=0)
    return f"Is unknown. The nearest name is {nearest}."
