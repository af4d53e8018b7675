"""Parses messages; the API and the command line show the result.

Whatever the bytes, `parse` doesn't raise, takes less than a second, and needs at most four times
the size of the message plus 24 MiB of memory. Faults are reported as `defects`; no part is lost
because of them.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.mime.bodies import find_bodies
from app.mime.defects import Defect
from app.mime.fields import note_repeated, read_date, read_ids, read_text
from app.mime.filenames import read_filename
from app.mime.head import Head
from app.mime.mailboxes import Mailbox, read_mailboxes
from app.mime.reply import Reply, read_reply
from app.mime.structure import Entity, read_structure
from app.mime.texts import Texts

_TOKEN = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}")


@dataclass(frozen=True)
class Attachment:
    """A part that isn't the text of the message; `size` (bytes) and `sha256` are of its content.

    `part` is its number for `read_part`. `disposition` is the word in Content-Disposition, usually
    attachment or inline; None if there is none or it isn't a plain word.
    """

    part: str
    filename: str | None
    content_type: str
    size: int
    sha256: str
    content_id: str | None
    disposition: str | None


@dataclass(frozen=True)
class ParsedMessage:
    """A decoded message; message ids have no angle brackets.

    `text` joins the text parts; an HTML part without a text alternative contributes its text.
    `reply` is None if `text` is. If `truncated`, one of the defects says what was left out.
    """

    headers: Sequence[tuple[str, str]]
    header_message_id: str | None
    in_reply_to: Sequence[str]
    references: Sequence[str]
    date: datetime | None
    subject: str
    from_: Sequence[Mailbox]
    to: Sequence[Mailbox]
    cc: Sequence[Mailbox]
    reply_to: Sequence[Mailbox]
    text: str | None
    html: str | None
    reply: Reply | None
    attachments: Sequence[Attachment]
    defects: Sequence[Defect]
    truncated: bool


@dataclass(frozen=True)
class Part:
    """One part, its transfer encoding removed; text parts keep the charset they were sent in."""

    content: bytes
    content_type: str
    filename: str | None


def parse(raw: bytes) -> ParsedMessage:
    """Parse a message; never raises."""
    found: set[Defect] = set()
    message = read_structure(raw, found)
    head = message.head
    note_repeated(head, found)
    bodies = find_bodies(message)
    texts = Texts(raw, found)
    text = texts.as_text(bodies.text)
    html = texts.as_html(bodies.html)
    attachments = (
        *(_attachment(each, each.content(raw, found), found) for each in bodies.attachments),
        *(_attachment(each, texts.content(each), found) for each in texts.cut),
    )
    ids = read_ids(head.value("message-id") or b"")
    date = head.value("date")
    return ParsedMessage(
        headers=tuple((field.name, read_text(field.value, found)) for field in head.fields),
        header_message_id=ids[0] if ids else None,
        in_reply_to=read_ids(head.value("in-reply-to") or b""),
        references=read_ids(head.value("references") or b""),
        date=None if date is None else read_date(date, found),
        subject=read_text(head.value("subject") or b"", found),
        from_=_mailboxes(head, "from", found),
        to=_mailboxes(head, "to", found),
        cc=_mailboxes(head, "cc", found),
        reply_to=_mailboxes(head, "reply-to", found),
        text=text,
        html=html,
        reply=None if text is None else read_reply(text),
        attachments=attachments,
        defects=tuple(each for each in Defect if each in found),
        truncated=any(each.truncates for each in found),
    )


def read_part(raw: bytes, number: str) -> Part | None:
    """Return the part with the number `number`, such as "2.1"; None if there is no such part."""
    found: set[Defect] = set()
    for part in read_structure(raw, found).leaves():
        if part.number == number:
            return Part(part.content(raw, found), part.content_type, _filename(part, found))
    return None


def read_parts(raw: bytes, numbers: Collection[str]) -> Mapping[str, bytes]:
    """Return the decoded contents of the parts with these numbers; unknown ones are left out."""
    found: set[Defect] = set()
    parts = read_structure(raw, found).leaves() if numbers else ()
    return {each.number: each.content(raw, found) for each in parts if each.number in numbers}


def _mailboxes(head: Head, name: str, found: set[Defect]) -> tuple[Mailbox, ...]:
    return read_mailboxes(head.value(name) or b"", found)


def _attachment(part: Entity, content: bytes, found: set[Defect]) -> Attachment:
    disposition = part.disposition.value
    content_ids = read_ids(part.head.value("content-id") or b"")
    return Attachment(
        part=part.number,
        filename=_filename(part, found),
        content_type=part.content_type,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        content_id=content_ids[0] if content_ids else None,
        disposition=disposition if _TOKEN.fullmatch(disposition) else None,
    )


def _filename(part: Entity, found: set[Defect]) -> str | None:
    return read_filename(part.disposition.parameters, part.parameters, found)
