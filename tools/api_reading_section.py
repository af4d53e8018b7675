"""The sections of docs/api.md about reading and deleting messages."""

from members import members

from app.reading.arrival_watch import MOST_WAITING
from app.reading.reader import MOST_HEADS, MOST_SCANNED
from app.reading.schemas import (
    EnvelopeSchema,
    MailboxSchema,
    MessageAttachmentSchema,
    MessageSchema,
    MessageSummarySchema,
    ReplySchema,
)
from app.web.message_parameters import MOST_DELETED, ListParameters
from app.web.schemas import DeletionResultSchema, MessagePageSchema

COMMON = """\
## Reading and deleting messages

These routes need an api_token. In the examples, it is in `$API_TOKEN`, the server's URL in `$URL`,
and the id of a message in `$ID`. [recipes.md](recipes.md) has complete programs.

- A parameter that is unknown, wrong or given twice is refused (400), and the answer names it. A
  body is refused (400) where none is expected.
- GET changes nothing: there are no "read" flags.
- Answers have `Cache-Control: private, no-cache`. There are no CORS headers, so pages of other
  sites can't read them.
- GET /messages/{id}, its raw bytes and its parts have an `ETag`. Send it in `If-None-Match` to get
  304 without a body if nothing has changed.
- HEAD is answered like GET, without the body.

## GET /messages

Lists messages, or waits for new ones.

```sh
curl --oauth2-bearer "$API_TOKEN" "$URL/messages?recipient=bob@example.com&limit=10"
```
"""

LIST = f"""\
Messages must match all parameters.

**Order.** Messages are listed in the order in which they were stored. `next` is the cursor of the
next page, and the header `Link` with `rel="next"` is its URL.

- **Without a cursor, or with `before`**, the list goes from newer to older messages. `next` is null
  after the oldest one.
- **With `after`**, the list goes from older to newer messages; an empty `after` starts with the
  oldest one. `next` is never null: keep it, and ask for it again later. **A client that does so
  gets every message**, even while others are stored and deleted. After a power cut or a restore, it
  may get some messages again.

A cursor is opaque, and valid as long as the store exists. A cursor from another store is refused
(400).

**A page may have fewer messages than `limit`, or none, although `has_more` is true.** Senders,
subjects, queue ids and Message-IDs have no index, which keeps the receipt of mail fast. So a page
ends after {MOST_SCANNED:,} messages have been examined, or {MOST_HEADS:,} with `header_message_id`:
continue with `next`. `recipient`, `since` and `until` have an index; adding them speeds up a search
for the others.

```sh
curl --oauth2-bearer "$API_TOKEN" "$URL/messages?after=&wait=20&recipient=bob@example.com"
```

**Long polling.** With `wait`, a request without a matching message is answered within half a second
of the arrival of one, whichever worker or server stores it in this data directory. If none arrives
in time, the page is empty. At most {MOST_WAITING} requests wait in each worker; another one is
answered at once, with the header `Retry-After`. When the server stops, all waiting requests are
answered with 200 and an empty page.
"""

MESSAGE = """\
## GET /messages/{id}

Returns one message, decoded as [reading.md](reading.md) describes. Don't trust its content: the
sender chooses the text, the HTML, the names and the addresses.

```sh
curl --oauth2-bearer "$API_TOKEN" "$URL/messages/$ID"
```
"""

CONTENT = """\
## GET /messages/{id}/raw

Returns the bytes of a message exactly as they were received, as `message/rfc822`. `Repr-Digest` has
their SHA-256 (RFC 9530). A request may have one `Range` (206), also with `If-Range`; the answer to
several ranges is the whole message. A range beyond the end is refused (416). HEAD returns the size
without reading the message.

```sh
curl --oauth2-bearer "$API_TOKEN" -o message.eml "$URL/messages/$ID/raw"
curl --oauth2-bearer "$API_TOKEN" -r 0-1023 "$URL/messages/$ID/raw"
curl --oauth2-bearer "$API_TOKEN" -I "$URL/messages/$ID/raw"
```

## GET /messages/{id}/parts/{part}

Returns the decoded content of one part, by its number in `attachments`, where `url` is the complete
path. PNG, JPEG, GIF, WebP and PDF keep their type; anything else is sent as
`application/octet-stream`. A browser saves the content instead of opening it, and runs no script in
it.

```sh
curl --oauth2-bearer "$API_TOKEN" -OJ "$URL/messages/$ID/parts/2"
```

## DELETE /messages/{id}

Deletes a message permanently. After the answer 204, it can't be read any more, and its bytes are
[erased](storage.md#deleting-and-erasing) within a minute. The answer is 404 if there is no such
message, or it was already deleted.

```sh
curl --oauth2-bearer "$API_TOKEN" -X DELETE "$URL/messages/$ID"
```
"""

DELETE_MANY = f"""\
## POST /messages/delete

Deletes 1 to {MOST_DELETED} messages permanently. The body is JSON, sent as `application/json`. If
it is anything but a list of that many ids, it is refused (400) and nothing is deleted. There is no
request that deletes all messages.

```sh
curl --oauth2-bearer "$API_TOKEN" --json "{{\\"ids\\": [\\"$ID\\"]}}" "$URL/messages/delete"
```

`results` has an object for each id, in the same order:
"""


def reading_section() -> str:
    """Return the sections of these routes."""
    parts = [
        COMMON,
        members(ListParameters(), "parameter"),
        LIST,
        members(MessagePageSchema()),
        "Each of `messages` holds:\n",
        members(MessageSummarySchema()),
        MESSAGE,
        members(MessageSchema()),
        "The JSON Schema of this object is shipped:"
        " [message.schema.json](../app/reading/message.schema.json).\n",
        "`envelope` holds:\n",
        members(EnvelopeSchema()),
        "Each of `from`, `to`, `cc` and `reply_to` holds:\n",
        members(MailboxSchema()),
        "`reply` holds:\n",
        members(ReplySchema()),
        "Each of `attachments` holds:\n",
        members(MessageAttachmentSchema()),
        CONTENT,
        DELETE_MANY,
        members(DeletionResultSchema()),
    ]
    return "\n".join(parts)
