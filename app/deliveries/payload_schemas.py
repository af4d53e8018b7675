"""The body of a request in the format `message`, described for people and their programs.

Members are added only, within a version: a receiver has to pass over those that it doesn't know.
"""

from marshmallow import Schema, fields, validate

from app.reading.schemas import MessageAttachmentSchema, MessageSchema

MESSAGE_RECEIVED = "message.received"


def _flag(description: str) -> fields.Boolean:
    return fields.Boolean(metadata={"description": description})


class PayloadAttachmentSchema(MessageAttachmentSchema):
    """An attachment, with its content if that is small enough."""

    content_base64 = fields.String(
        allow_none=True,
        metadata={
            "description": "Decoded content in base64; null if it has to be fetched from `url`"
        },
    )


class PayloadMessageSchema(MessageSchema):
    """A message as in the API, cut if it is too large."""

    attachments = fields.List(fields.Nested(PayloadAttachmentSchema))
    defects = fields.List(
        fields.String(),
        metadata={"description": "Codes for faults in the message; later versions may add some"},
    )
    html_truncated = _flag("Whether `html` was cut")
    text_truncated = _flag("Whether `text`, and with it the text of `reply`, was cut")
    headers_truncated = _flag("Whether the last `headers` are left out")
    attachments_truncated = _flag("Whether the last `attachments` are left out")
    parsed = _flag("False if GoMail failed to decode the message, so that its content is missing")


class PayloadSchema(Schema):
    """The body of a request, in the form of Standard Webhooks."""

    type = fields.String(validate=validate.OneOf([MESSAGE_RECEIVED]))
    timestamp = fields.AwareDateTime(
        format="iso",
        metadata={"description": "When the message was received, UTC; the same in every attempt"},
    )
    data = fields.Nested(PayloadMessageSchema)
