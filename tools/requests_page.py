"""Writes docs/requests.md, the page about the requests to endpoints."""

from textwrap import fill

from marshmallow import Schema, fields

from app.deliveries import connection, exchange, fitting, payload, retry_after
from app.deliveries.outcome import Reason
from app.deliveries.payload_schemas import (
    PayloadAttachmentSchema,
    PayloadMessageSchema,
    PayloadSchema,
)
from app.reading.schemas import EnvelopeSchema, MailboxSchema, ReplySchema

HEAD = """\
# Requests to endpoints

This page is generated from the code by `make docs`.

Each request is a POST request according to [Standard Webhooks](https://www.standardwebhooks.com/).
For most languages, there is a library that verifies the signature over the exact bytes of the body.

| header | value |
|---|---|
| `webhook-id` | `msg_` and the message's id: the same in every attempt, to recognize repeats |
| `webhook-timestamp` | time of this attempt, in seconds since 1970 |
| `webhook-signature` | `v1,` and an HMAC-SHA256 in base64, for each secret; separated by spaces |
| `Content-Type` | `application/json`, or `message/rfc822` with the format `raw` |
| `User-Agent` | `GoMail/` and its version |
"""

RAW = """\
## Format raw

The body is the message, byte for byte as it was received. The envelope is in the headers that the
relay uses: `X-Original-Sender` (empty for the null sender of bounces), `X-Original-Recipient`,
`X-Original-Mail-From`, `X-Original-Queue-Id`, `X-Original-Client-Address`,
`X-Original-Client-Hostname`, `X-Original-Helo`. A header is absent if its value is unknown.
Non-ASCII text is in UTF-8.
"""


def requests_page() -> str:
    """Return the page."""
    return "\n".join([HEAD, *_message(), RAW, *_answers(), *_reasons()])


def _message() -> list[str]:
    tables = {
        "The body": PayloadSchema,
        "`data`": PayloadMessageSchema,
        "`envelope`": EnvelopeSchema,
        "`from`, `to`, `cc`, `reply_to`: each": MailboxSchema,
        "`reply`": ReplySchema,
        "`attachments`: each": PayloadAttachmentSchema,
    }
    return [
        "## Format message",
        "",
        _paragraph(
            "The body is JSON in UTF-8; [payload.schema.json](payload.schema.json) describes it."
            " Later versions may add members: a receiver must ignore those it doesn't know."
            " [How a message is decoded](reading.md) explains their content."
        ),
        *(line for title, schema in tables.items() for line in _table(title, schema)),
        "### Limits",
        "",
        _paragraph(
            f"The body has at most {_size(fitting.MAX_BYTES)}. An attachment of up to"
            f" {_size(payload.MAX_INLINE_BYTES)} is included in `content_base64`, as long as all"
            f" of these have at most {_size(payload.MAX_INLINE_BYTES_TOGETHER)} together; fetch the"
            " content of others from `url`, with an api_token. If the body is still too large,"
            " `html` is cut first, then `text`, then `headers`, then the list of"
            " attachments, and finally addresses and references."
            " A member such as `html_truncated` shows this, and `truncated` is true. The API"
            " returns the whole message."
        ),
    ]


def _table(title: str, schema: type[Schema]) -> list[str]:
    members = schema().fields.items()
    rows = [
        f"| `{field.data_key or name}` | {_type(field)} | {_about(field)} |"
        for name, field in members
    ]
    return [f"### {title}", "", "| member | type | |", "|---|---|---|", *rows, ""]


def _type(field: fields.Field[object]) -> str:
    names = {
        fields.String: "text",
        fields.Integer: "number",
        fields.Boolean: "true or false",
        fields.AwareDateTime: "time",
        fields.Nested: "object",
        fields.List: "list",
    }
    return names[type(field)] + (" or null" if field.allow_none else "")


def _about(field: fields.Field[object]) -> str:
    return str(field.metadata.get("description", ""))


def _answers() -> list[str]:
    return [
        "## Answers",
        "",
        _paragraph(
            "A message is delivered when the header section of an answer with status 2xx arrives"
            " within the endpoint's `timeout`. The body of the answer doesn't matter: GoMail reads"
            f" it for at most {exchange.BODY_SECONDS:g} s, and closes the connection if the answer"
            f" exceeds {_size(connection.MAX_ANSWER_BYTES)}. `Retry-After` may be a number of"
            " seconds or a date, and counts up to"
            f" {retry_after.LONGEST_SECONDS / 3600:g} hours. Redirects are not followed."
        ),
    ]


def _reasons() -> list[str]:
    return [
        "## Why an attempt failed",
        "",
        "The codes are stable. Those marked yes count for the endpoint's circuit breaker.",
        "",
        "| reason | counted as | meaning | breaker |",
        "|---|---|---|---|",
        *(
            f"| `{each}` | {each.kind} | {each.meaning} | {'yes' * each.is_breaking} |"
            for each in Reason
        ),
        "",
    ]


def _paragraph(text: str) -> str:
    return fill(text, 100, break_long_words=False, break_on_hyphens=False) + "\n"


def _size(count: int) -> str:
    return f"{count // 1024:,} KiB"
