"""The parameters of the routes for deliveries; the OpenAPI document is generated from them."""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from app.intake.json_schemas import Line
from app.storage.delivery import FASTEST_RATE, State
from app.storage.ids import ID_PATTERN
from app.web.parameters import SOME_TEXT, Moment, NoParameters, WholeNumber, without_space

MOST_LISTED = 200


class DeliveryListParameters(NoParameters):
    """The parameters of GET /deliveries."""

    after = fields.String(
        metadata={
            "description": "Cursor: return deliveries created after it, oldest first; an empty one"
            " starts with the oldest delivery"
        }
    )
    before = fields.String(
        metadata={
            "description": "Cursor: return deliveries created before it, newest first; the default,"
            " as an empty one, is to start with the newest delivery"
        }
    )
    limit = WholeNumber(
        load_default=50,
        validate=validate.Range(1, MOST_LISTED),
        metadata={"description": f"Largest number of deliveries, 1 to {MOST_LISTED}; default 50"},
    )
    endpoint = fields.String(validate=SOME_TEXT, metadata={"description": "Name of the endpoint"})
    state = fields.String(
        validate=validate.OneOf([str(each) for each in State]),
        metadata={"description": "One of " + ", ".join(f"`{each}`" for each in State)},
    )
    recipient = fields.String(
        validate=[SOME_TEXT, without_space],
        metadata={"description": "Envelope recipient, one address, in upper or lower case"},
    )
    message_id = fields.String(
        validate=validate.Regexp(f"^{ID_PATTERN}\\Z", error="Must be the id of a message."),
        metadata={"description": "Id of the message"},
    )
    since = Moment(
        format="iso",
        metadata={
            "description": "Created at this date or time or later; UTC unless it has a time zone"
        },
    )
    until = Moment(format="iso", metadata={"description": "Created before this date or time"})

    @validates_schema
    def _check_direction(self, data: Mapping[str, Any], **_: object) -> None:
        if "after" in data and "before" in data:
            raise ValidationError("Can't be used together with after.", "before")


class ReplayRequestSchema(NoParameters):
    """The body of POST /replays."""

    endpoint = Line(
        required=True, validate=SOME_TEXT, metadata={"description": "Name of the endpoint"}
    )
    since = Moment(
        required=True,
        format="iso",
        metadata={
            "description": "Replay messages received at this date or time or later; UTC unless it"
            " has a time zone"
        },
    )
    until = Moment(
        format="iso",
        metadata={"description": "Replay messages received before this date or time; default: now"},
    )
    recipient = Line(
        validate=SOME_TEXT,
        metadata={"description": "Replay only messages to this envelope recipient"},
    )
    rate = fields.Float(
        validate=validate.Range(0, FASTEST_RATE, min_inclusive=False),
        metadata={
            "description": "Largest number of messages per second, for each delivery process;"
            " default: as fast as the endpoint accepts them"
        },
    )
    dry_run = fields.Boolean(
        load_default=False,
        truthy={True},
        falsy={False},
        metadata={"description": "Whether to count the messages only, without replaying them"},
    )

    @validates_schema
    def _check_order(self, data: Mapping[str, Any], **_: object) -> None:
        if "until" in data and data["until"] <= data["since"]:
            raise ValidationError("Must be later than since.", "until")
