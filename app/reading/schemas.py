"""The JSON object of a message in the API and on the command line.

The OpenAPI document and message.schema.json are generated from these schemas.
"""

from marshmallow import Schema, fields, validate

from app.mime.defects import Defect


def _text(description: str, *, may_be_null: bool = False) -> fields.String:
    return fields.String(allow_none=may_be_null, metadata={"description": description})


class MailboxSchema(Schema):
    """An address and its display name."""

    name = _text("Display name; empty if there is none")
    address = fields.String()


class EnvelopeSchema(Schema):
    """Sender, recipient, and what the relay said about the SMTP client."""

    sender = _text("Envelope sender; empty for the null sender of bounces")
    recipient = _text("Envelope recipient")
    mail_from = _text("The sender that the SMTP client gave", may_be_null=True)
    queue_id = _text("The relay's queue id", may_be_null=True)
    client_address = _text("Address of the SMTP client", may_be_null=True)
    client_hostname = _text("Name of the SMTP client", may_be_null=True)
    helo = _text("The name that the SMTP client gave with HELO or EHLO", may_be_null=True)


class ReplySchema(Schema):
    """The text above a quoted message."""

    text = _text("The text above the quoted message; the whole text if none was found")
    found = fields.Boolean(metadata={"description": "Whether a quoted message was found"})


class MessageAttachmentSchema(Schema):
    """A part that is not the text of the message."""

    part = _text("Part number, as in IMAP")
    filename = _text("File name, without a path", may_be_null=True)
    content_type = _text("As declared by the sender; may be wrong")
    size = fields.Integer(metadata={"description": "Size of the decoded content in bytes"})
    sha256 = _text("SHA-256 of the decoded content, in hexadecimal")
    content_id = _text("The id in `cid:` URLs of the HTML", may_be_null=True)
    disposition = _text("Usually `attachment` or `inline`", may_be_null=True)
    url = _text("Path of the decoded content in the API, to be appended to the URL of GoMail")


class _StoredSchema(Schema):
    """What the index knows about a message."""

    id = fields.String(metadata={"description": "UUIDv7", "format": "uuid"})
    received_at = fields.AwareDateTime(
        format="iso", metadata={"description": "When GoMail received it, UTC"}
    )
    size = fields.Integer(metadata={"description": "Size as received, in bytes"})
    sha256 = _text("SHA-256 of the message as received, in hexadecimal")
    envelope = fields.Nested(EnvelopeSchema)


class MessageSummarySchema(_StoredSchema):
    """A message in a list."""

    subject = _text("Decoded, at most 998 characters")
    cursor = _text("Position of this message, for `after` and `before`")


class MessageSchema(_StoredSchema):
    """A decoded message; see docs/reading.md."""

    headers = fields.List(
        fields.List(fields.String(), validate=validate.Length(equal=2)),
        metadata={"description": "Name and decoded value of each field, in order"},
    )
    header_message_id = _text("Message-ID, without angle brackets", may_be_null=True)
    in_reply_to = fields.List(
        fields.String(), metadata={"description": "Message ids, without angle brackets"}
    )
    references = fields.List(
        fields.String(), metadata={"description": "Message ids, without angle brackets"}
    )
    date = fields.AwareDateTime(
        format="iso",
        allow_none=True,
        metadata={"description": "The Date field, with its offset from UTC"},
    )
    subject = _text("Decoded; empty if there is none")
    from_ = fields.List(fields.Nested(MailboxSchema), data_key="from")
    to = fields.List(fields.Nested(MailboxSchema))
    cc = fields.List(fields.Nested(MailboxSchema))
    reply_to = fields.List(fields.Nested(MailboxSchema))
    text = _text("Null if the message has neither text nor HTML", may_be_null=True)
    html = _text("Not sanitized: show it only in a sandbox; null without HTML", may_be_null=True)
    reply = fields.Nested(
        ReplySchema, allow_none=True, metadata={"description": "Null if `text` is null"}
    )
    attachments = fields.List(fields.Nested(MessageAttachmentSchema))
    defects = fields.List(
        fields.String(validate=validate.OneOf([str(each) for each in Defect])),
        metadata={"description": "Codes for faults in the message; see docs/reading.md"},
    )
    truncated = fields.Boolean(
        metadata={"description": "Whether a limit was exceeded and something was left out"}
    )
