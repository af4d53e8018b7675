"""The page about the API: docs/api.md."""

from api_deliveries_section import deliveries_section
from api_reading_section import reading_section
from marshmallow import Schema
from members import members

from app.address import MAX_ADDRESS_CHARACTERS
from app.errors import ERRORS
from app.intake.bounds import MAX_CHARACTERS
from app.intake.headers import MAX_SUBJECT_CHARACTERS
from app.intake.json_schemas import (
    MAX_NAME_CHARACTERS,
    AttachmentSchema,
    ConnectionSchema,
    JSONMailSchema,
)
from app.web.schemas import HealthSchema, ProblemSchema, ReceiptSchema, TotalsSchema

HEAD = """\
# The API

This page is generated from the code by `make docs`.

How to deliver a message, and what every answer means.

Every answer has the header `X-Request-ID`: the client's own if it is at most 128 characters of
printable ASCII, otherwise a new one. The log line of the request has it too. A request that isn't
valid HTTP, or is too slow to reach the application, always gets a new one.

## Tokens

There are two kinds of token, so that a client that delivers mail can't read it:

| token | permits | generated in |
|---|---|---|
| `bearer_token` | delivering messages: `POST /mail/inbound`, `/email` | `data_dir/token` |
| `api_token` | reading and deleting messages: all other routes that need a token | \
`data_dir/api-token` |

An unknown token is refused with 401 `unauthorized`, a valid token of the wrong kind with 403
`forbidden`. Routes that need an api_token have [their own rate limit](limits.md#the-api).

## POST /mail/inbound

Delivers one message. `/email` is an older, deprecated path for the same route. The request needs
`Authorization: Bearer TOKEN` with a bearer_token; see [Tokens](#tokens).

| Content-Type | body |
|---|---|
| `message/rfc822`, `message/global` | the raw message, any bytes |
| `application/json` | an object with the members below |
| none, or `application/x-www-form-urlencoded` (curl's own) | JSON if the first byte that is not \
white space is `{`, else a raw message |

Limits:

- A message may have up to `max_message_size` bytes.
- A JSON body may be a third larger plus 64 KiB, because Base64 turns three bytes into four. At most
  64 KiB of it may be outside strings.
- The header section of a message must end within its first 256 KiB.

### Headers

| header | what it is |
|---|---|
| `X-Original-Sender` | envelope sender; present but empty means the null sender of a bounce |
| `X-Original-Mail-From` | the sender that the SMTP client gave; used when the one above is absent |
| `X-Original-Recipient` | envelope recipient, one address |
| `X-Original-Client-Address`, `X-Original-Client-Hostname`, `X-Original-Helo` | the SMTP client |
| `X-Original-Queue-Id` | the relay's queue id |
| `Idempotency-Key` | identifies this message; see [Repeated messages](#repeated-messages) |

If neither the headers nor the JSON body give a sender or recipient, the message's own
[X-Original- fields](storage.md#export) are used, if it begins with them. What is still missing
comes from its From and To.

### Repeated messages

A message that is sent again is stored once: the second answer is 200 with the first `message_id`
and `"duplicate": true`. Two requests are the same message when these are equal:

| the request has | what must be equal |
|---|---|
| an `Idempotency-Key` | the key and the recipient |
| no key, but an `X-Original-Queue-Id` | the queue id and the recipient |
| neither, and a raw message | sender, recipient, and every byte of the message |
| neither, and JSON without a raw message | sender, recipient, subject, text, HTML and attachments |

Some messages have the same content each time, such as a daily report: send a different
`Idempotency-Key` with each of them.

A repeat of a message that was [deleted](storage.md#deleting-and-erasing) is answered in the same
way, until `deduplication_days` after it was deleted.
"""

JSON_RULES = """\
Without `raw` and `raw_base64` a message is composed of the other members. `null` and `""` count as
absent, except that a sender of `""` is the null sender. An address may have a display name
(`Ann <ann@example.org>`). A request has one recipient: a list is refused (400). **Unknown members
are refused (400) and named, so a 200 means that nothing was dropped.** A UTF-8 byte order mark
before the JSON is ignored.
"""

BOUNDS = """\
### Bounds

These values are stored and listed, so their length is limited. A longer one is refused (400), and
the answer names the field.

| text | characters at most |
|---|---|
"""

PROBES = """\
## GET /health

200 while the server can store messages, 503 otherwise. No token is needed.
"""

READY = """\
## GET /ready

200 `{"status": "ready"}` when mail should be sent here, 503 (a problem document) otherwise. No
token is needed.
"""

OPENAPI = """\
## GET /openapi.json

The OpenAPI 3.1 description of this API, the same as [openapi.yaml](../app/web/openapi.yaml). No
token is needed.
"""

METRICS = """\
## GET /metrics

Human-readable totals since the server started; Prometheus uses a separate port
([metrics.md](metrics.md)). No token is needed.
"""

PROBLEMS = """\
## Errors

Every error is a document of type `application/problem+json` (RFC 9457), except the 503 of an
unhealthy `/health`, which is the object described above. `code` is stable, so let your program
depend on it; titles and details may change.
"""


def api_page() -> str:
    """Return docs/api.md."""
    parts = [
        HEAD,
        "### Members of a JSON body\n",
        members(JSONMailSchema()),
        f"`connection` holds {_names(ConnectionSchema())}. Each of `attachments` holds:\n",
        members(AttachmentSchema()),
        JSON_RULES,
        BOUNDS + _bounds(),
        "### Answer 200\n",
        members(ReceiptSchema()),
        reading_section(),
        deliveries_section(),
        PROBES,
        members(HealthSchema()),
        READY,
        METRICS,
        members(TotalsSchema()),
        OPENAPI,
        PROBLEMS,
        members(ProblemSchema()),
        _codes(),
    ]
    return "\n".join(parts)


def _bounds() -> str:
    rows = [f"| `{name}` | {limit} |" for name, limit in MAX_CHARACTERS.items()]
    others = [
        f"| an address | {MAX_ADDRESS_CHARACTERS} |",
        "| `subject` in JSON; listings cut longer subjects to this length "
        f"| {MAX_SUBJECT_CHARACTERS} |",
        f"| `filename`, `content_type`, `content_id` of an attachment | {MAX_NAME_CHARACTERS} |",
    ]
    return "\n".join([*rows, *others, ""])


def _names(schema: Schema) -> str:
    return ", ".join(f"`{name}`" for name in schema.fields)


def _codes() -> str:
    rows = [f"| {kind.status} | `{kind.code}` | {kind.meaning} |" for kind in ERRORS.values()]
    return "\n".join(["| status | code | when |", "|---|---|---|", *rows, ""])
