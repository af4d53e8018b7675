"""The members of a JSON request, described once for decoding and for the documentation."""

import re
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from app.intake.headers import MAX_SUBJECT_CHARACTERS
from app.printable import UNPRINTABLE

MAX_NAME_CHARACTERS = 255

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 -- of RFC 2045 section 5.1
_CONTENT_TYPE = rf"(?!multipart/){_TOKEN}/{_TOKEN}[ \t]*(;.*)?"
_CONTENT_ID = r"<?[!-;=?-~]+>?"


class Text(fields.String):
    """Text that can be encoded."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if _SURROGATE.search(text):
            raise ValidationError("Holds half of a surrogate pair, which is not a character.")
        return text


class Line(Text):
    """Text that can stand in a header field."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if UNPRINTABLE.search(text):
            raise ValidationError("Must be one line without control characters.")
        return text


class Address(Line):
    """One address; a list gets an error of its own."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        if isinstance(value, list):
            raise ValidationError("Must be one address, not a list: one recipient per request.")
        return super()._deserialize(value, attr, data, **kwargs)


class _ClosedSchema(Schema):
    """A 200 means that everything sent is kept: other members are refused."""

    class Meta:
        """For all that is derived from this."""

        unknown = RAISE


class ConnectionSchema(_ClosedSchema):
    """The SMTP client, as the relay saw it."""

    client_address = Line(allow_none=True)
    client_hostname = Line(allow_none=True)
    client_helo = Line(allow_none=True)


class AttachmentSchema(_ClosedSchema):
    """One attachment of a message that is composed."""

    content_base64 = Text(required=True, metadata={"description": "Its bytes in Base64"})
    filename = Line(
        allow_none=True,
        validate=validate.Length(max=MAX_NAME_CHARACTERS),
        metadata={"description": "Its name, without a path"},
    )
    content_type = Line(
        allow_none=True,
        validate=[
            validate.Length(max=MAX_NAME_CHARACTERS),
            validate.Regexp(
                rf"^(?:{_CONTENT_TYPE})?$",
                re.IGNORECASE,
                error="Must be a media type such as image/png, and not multipart.",
            ),
        ],
        metadata={"description": "Its media type; application/octet-stream without one"},
    )
    content_id = Line(
        allow_none=True,
        validate=[
            validate.Length(max=MAX_NAME_CHARACTERS),
            validate.Regexp(
                rf"^(?:{_CONTENT_ID})?$",
                error="Must be an id such as logo@example.com, without spaces.",
            ),
        ],
        metadata={"description": "The id by which the HTML refers to it (`cid:ID`)"},
    )


class JSONMailSchema(_ClosedSchema):
    """The body of a JSON request; any other member is refused by name."""

    sender = Address(
        allow_none=True, metadata={"description": "Envelope sender; empty: null sender"}
    )
    recipient = Address(allow_none=True, metadata={"description": "Envelope recipient"})
    from_ = Address(data_key="from", allow_none=True, metadata={"description": "Same as sender"})
    to = Address(allow_none=True, metadata={"description": "Same as recipient"})
    raw = Text(allow_none=True, metadata={"description": "The message as text, sent in UTF-8"})
    raw_base64 = Text(allow_none=True, metadata={"description": "The message in Base64"})
    subject = Line(
        allow_none=True,
        validate=validate.Length(max=MAX_SUBJECT_CHARACTERS),
        metadata={"description": "Subject of the composed message; only without `raw`"},
    )
    text = Text(
        allow_none=True,
        metadata={"description": "Plain text of the composed message; only without `raw`"},
    )
    body = Text(allow_none=True, metadata={"description": "Same as text"})
    html = Text(
        allow_none=True,
        metadata={"description": "HTML of the composed message; only without `raw`"},
    )
    attachments = fields.List(
        fields.Nested(AttachmentSchema),
        allow_none=True,
        metadata={"description": "Attachments of the composed message; only without `raw`"},
    )
    connection = fields.Nested(
        ConnectionSchema,
        allow_none=True,
        metadata={"description": "The SMTP client, as the relay saw it"},
    )
