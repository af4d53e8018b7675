"""The JSON answers of the server, described once for the views and the documentation."""

from marshmallow import Schema, fields

from app.deliveries.schemas import DeliverySummarySchema, EndpointSchema
from app.reading.schemas import MessageSummarySchema


class ReceiptSchema(Schema):
    """Answer 200 of POST /mail/inbound: from now on the message would survive a power cut."""

    status = fields.Constant("success")
    message_id = fields.String(metadata={"description": "UUIDv7 of the stored message"})
    stored_at = fields.AwareDateTime(
        format="iso", metadata={"description": "When it was first stored, UTC"}
    )
    timestamp = fields.AwareDateTime(
        format="iso", metadata={"description": "When this was answered, UTC"}
    )
    request_id = fields.String()
    duplicate = fields.Boolean(metadata={"description": "True when it had been stored before"})


class MessagePageSchema(Schema):
    """Answer 200 of GET /messages."""

    messages = fields.List(fields.Nested(MessageSummarySchema))
    next = fields.String(
        allow_none=True,
        metadata={"description": "Cursor of the next page; null after the oldest message"},
    )
    has_more = fields.Boolean(
        metadata={"description": "Whether the next page may already contain messages"}
    )


class DeletionResultSchema(Schema):
    """The result for one id."""

    id = fields.String()
    deleted = fields.Boolean(metadata={"description": "False if no message had this id"})


class DeletionResultsSchema(Schema):
    """Answer 200 of POST /messages/delete, in the order of the ids."""

    results = fields.List(fields.Nested(DeletionResultSchema))


class DeliveryPageSchema(Schema):
    """Answer 200 of GET /deliveries."""

    deliveries = fields.List(fields.Nested(DeliverySummarySchema))
    next = fields.String(
        allow_none=True,
        metadata={"description": "Cursor of the next page; null after the oldest delivery"},
    )
    has_more = fields.Boolean(
        metadata={"description": "Whether the next page may already contain deliveries"}
    )


class ReplaySchema(Schema):
    """Answer of POST /replays."""

    endpoint = fields.String()
    messages = fields.Integer(metadata={"description": "Number of stored messages that match"})
    dry_run = fields.Boolean(metadata={"description": "True if the messages were only counted"})


class EndpointListSchema(Schema):
    """Answer 200 of GET /endpoints."""

    endpoints = fields.List(fields.Nested(EndpointSchema))


class HealthSchema(Schema):
    """Answer of GET /health."""

    status = fields.String(metadata={"description": "healthy (200) or unhealthy (503)"})
    version = fields.String()
    uptime = fields.Float(metadata={"description": "Seconds since the server started"})
    reasons = fields.List(fields.String(), metadata={"description": "Only when unhealthy"})


class ReadySchema(Schema):
    """Answer 200 of GET /ready."""

    status = fields.Constant("ready")


class TotalsSchema(Schema):
    """Answer of GET /metrics, summed over all workers since the start."""

    total_emails = fields.Integer(metadata={"description": "Messages stored, without duplicates"})
    total_bytes = fields.Integer(metadata={"description": "Their size in bytes"})
    total_timeouts = fields.Integer(metadata={"description": "Requests whose client was too slow"})
    last_received = fields.AwareDateTime(format="iso", allow_none=True)
    uptime_seconds = fields.Float()
    start_time = fields.AwareDateTime(format="iso")
    active_requests = fields.Integer(
        metadata={"description": "Requests in flight, including this one"}
    )
    shutting_down = fields.Boolean()


class FieldFaultSchema(Schema):
    """One fault in one field."""

    field = fields.String()
    message = fields.String()


class ProblemSchema(Schema):
    """Every error but an unhealthy /health, as application/problem+json (RFC 9457)."""

    type = fields.String(metadata={"description": "urn:gomail:problem:CODE"})
    title = fields.String()
    status = fields.Integer()
    detail = fields.String()
    code = fields.String(metadata={"description": "Stable: rely on this, not on the text"})
    request_id = fields.String()
    errors = fields.List(fields.Nested(FieldFaultSchema))
