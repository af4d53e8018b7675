"""The JSON objects of deliveries and endpoints in the API and on the command line."""

from marshmallow import Schema, fields, validate

from app.deliveries.endpoint_status import EndpointState
from app.storage.delivery import State

_STATES = validate.OneOf([str(each) for each in State])


def _text(description: str, *, may_be_null: bool = False) -> fields.String:
    return fields.String(allow_none=may_be_null, metadata={"description": description})


def _time(description: str, *, may_be_null: bool = False) -> fields.AwareDateTime:
    return fields.AwareDateTime(
        format="iso", allow_none=may_be_null, metadata={"description": description}
    )


def _count(description: str = "") -> fields.Integer:
    return fields.Integer(metadata={"description": description} if description else {})


class _DeliveryFields(Schema):
    """The members of a delivery, except its attempts."""

    id = _text("Opaque")
    message_id = _text("Id of the message")
    webhook_id = _text("The header `webhook-id`, the same in each attempt")
    endpoint = _text("Name of the endpoint")
    recipient = _text("Envelope recipient")
    state = fields.String(validate=_STATES, metadata={"description": "See docs/deliveries.md"})
    reason = _text(
        "Code of the last failure, or the reason why the delivery is dead; see docs/requests.md and"
        " docs/deliveries.md",
        may_be_null=True,
    )
    attempt_count = _count("Attempts since the delivery was created or last retried")
    next_attempt_at = _time("Time of the next attempt, UTC; null unless pending", may_be_null=True)
    is_replay = fields.Boolean(metadata={"description": "Whether a replay has created it"})
    created_at = _time("When it was created, with the message or by a replay, UTC")
    settled_at = _time("When it reached its state, UTC; null while pending", may_be_null=True)


class DeliverySummarySchema(_DeliveryFields):
    """A delivery in a list."""

    cursor = _text("Position of this delivery, for `after` and `before`")


class AttemptSchema(Schema):
    """A request to an endpoint, and its answer."""

    at = _time("When it started, UTC")
    address = _text("IP address; null if no connection was attempted", may_be_null=True)
    status = fields.Integer(
        allow_none=True, metadata={"description": "Status of the answer; null without an answer"}
    )
    duration_ms = _count("Milliseconds from the look-up of the name to the end of the answer")
    error = _text("Why it failed, as one line for people; null on success", may_be_null=True)
    answer = _text("The first KiB of the answer's body, decoded as UTF-8")


class DeliverySchema(_DeliveryFields):
    """A delivery with its attempts."""

    attempts = fields.List(
        fields.Nested(AttemptSchema),
        metadata={"description": "The last 20 attempts of the past 30 days, oldest first"},
    )


class DeliveryCountsSchema(Schema):
    """How many deliveries are in each state."""

    pending = _count()
    delivered = _count()
    dead = _count()
    discarded = _count()


class EndpointSchema(Schema):
    """An endpoint, without its secrets and the query of its URL."""

    name = _text("The name that its deliveries refer to")
    url = _text("URL, with `***` for its query; null if no longer configured", may_be_null=True)
    recipients = fields.List(
        fields.String(), metadata={"description": "Patterns of the recipients whose mail it gets"}
    )
    format = _text("`message` or `raw`", may_be_null=True)
    state = fields.String(
        validate=validate.OneOf([str(each) for each in EndpointState]),
        metadata={
            "description": "`closed`: it gets its messages; `open`: it keeps failing, and gets only"
            " probes; `paused`: it gets nothing"
        },
    )
    reason = _text(
        "If open, the code of the last failure; if paused, `requested`, `gone` (the endpoint"
        " answered 410) or `not_configured`; null if closed",
        may_be_null=True,
    )
    since = _time("When it became open, UTC; null unless open", may_be_null=True)
    deliveries = fields.Nested(
        DeliveryCountsSchema, metadata={"description": "Number of its deliveries in each state"}
    )
    oldest_pending_at = _time("When its oldest pending delivery was created, UTC", may_be_null=True)
    replays = _count("Number of replays that are not complete")


class EndpointTestSchema(Schema):
    """The result of a test."""

    delivered = fields.Boolean(metadata={"description": "Whether the answer was 2xx"})
    reason = _text("Code of the failure; null on success", may_be_null=True)
    advice = _text("What may help, as text for people", may_be_null=True)
    attempt = fields.Nested(AttemptSchema, metadata={"description": "The request and its answer"})
