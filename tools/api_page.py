"""The page about the API: docs/api.md."""

from typing import Any

from marshmallow import Schema, fields

from app.errors import ERRORS
from app.intake.json_schemas import AttachmentSchema, ConnectionSchema, JSONMailSchema
from app.web.schemas import HealthSchema, ProblemSchema, ReceiptSchema, TotalsSchema

HEAD = """\
# The API

This page is generated from the code by `make docs`.

Every answer carries `X-Request-ID`: the client's own if it is printable and at most 128
characters long, else a new one. It stands on every log line of the request.

## POST /mail/inbound

Also at `/email`, the older path. `Authorization: Bearer TOKEN` is needed.

| type of the body | what it is |
|---|---|
| `message/rfc822`, `message/global` | the raw message, any bytes |
| `application/json` | an object with the members below |
| none, or `application/x-www-form-urlencoded` (curl's own) | JSON if the first byte that is not \
white space is `{`, else a raw message |

A message may have up to `max_message_size` bytes; as JSON, the body may be a third larger and
64 KiB, since Base64 makes four bytes of three; at most 64 KiB of it may lie outside of texts. The
head of a message has to end within its first 256 KiB.

### Headers

| header | what it is |
|---|---|
| `X-Original-Sender` | envelope sender; present but empty: the null sender of a bounce |
| `X-Original-Mail-From` | the sender that the SMTP client gave; stands in for the one above |
| `X-Original-Recipient` | envelope recipient, one address |
| `X-Original-Client-Address`, `X-Original-Client-Hostname`, `X-Original-Helo` | the SMTP client |
| `X-Original-Queue-Id` | the relay's queue id |
| `Idempotency-Key` | what makes this message one; without it the queue id does |

A sender or recipient that is given nowhere is taken from the message's From and To.

The same message for the same recipient again is answered with the first `message_id` and
`"duplicate": true`, and stored once. It is the same when `Idempotency-Key` and recipient are;
without that header, when queue id and recipient are; without that, when sender, recipient and
bytes are, or sender, recipient, subject and body of JSON without a raw message. For events whose
words repeat, a daily report say, send an `Idempotency-Key` for each.
"""

JSON_RULES = """\
Without `raw` and `raw_base64` a message is composed of the other members. Of all members but the
sender, `null` and `""` count as absent; a sender of `""` is the null sender. An address may have a
display name (`Ann <ann@example.org>`). A request has one recipient: a list is refused (400). **Any
other member is refused (400) and named, so that a 200 means that all that was sent is kept.** A
UTF-8 byte order mark before the JSON is ignored.
"""

PROBES = """\
## GET /health

200 while the process serves and can store, 503 otherwise. No token is needed.
"""

READY = """\
## GET /ready

200 `{"status": "ready"}` when mail should be sent here, 503 (a problem document) otherwise. No
token is needed.
"""

OPENAPI = """\
## GET /openapi.json

This API as OpenAPI 3.1 describes it, the same as
[openapi.yaml](../app/web/openapi.yaml). No token is needed.
"""

METRICS = """\
## GET /metrics

A summary for people; Prometheus has a port of its own. No token is needed.
"""

PROBLEMS = """\
## Errors

Every error is a document of type `application/problem+json` (RFC 9457). `code` is stable: branch
on it, never on words.
"""


def api_page() -> str:
    """Return docs/api.md."""
    parts = [
        HEAD,
        "### Members of a JSON body\n",
        _members(JSONMailSchema()),
        f"`connection` holds {_names(ConnectionSchema())}. Each of `attachments` holds:\n",
        _members(AttachmentSchema()),
        JSON_RULES,
        "### Answer 200\n",
        _members(ReceiptSchema()),
        PROBES,
        _members(HealthSchema()),
        READY,
        METRICS,
        _members(TotalsSchema()),
        OPENAPI,
        PROBLEMS,
        _members(ProblemSchema()),
        _codes(),
    ]
    return "\n".join(parts)


def _names(schema: Schema) -> str:
    return ", ".join(f"`{name}`" for name in schema.fields)


def _members(schema: Schema) -> str:
    rows = [
        f"| `{field.data_key or name}` | {_type(field)} | {field.metadata.get('description', '')} |"
        for name, field in schema.fields.items()
    ]
    return "\n".join(["| member | type | |", "|---|---|---|", *rows, ""])


def _type(field: fields.Field[Any]) -> str:
    names = {
        fields.AwareDateTime: "time (ISO 8601)",
        fields.Boolean: "boolean",
        fields.Constant: "text",
        fields.Float: "number",
        fields.Integer: "whole number",
        fields.List: "list",
        fields.Nested: "object",
    }
    return next((name for kind, name in names.items() if isinstance(field, kind)), "text")


def _codes() -> str:
    rows = [f"| {kind.status} | `{kind.code}` | {kind.meaning} |" for kind in ERRORS.values()]
    return "\n".join(["| status | code | when |", "|---|---|---|", *rows, ""])
