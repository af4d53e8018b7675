"""A message made of its parts, for clients that have no raw one (RFC 5322, RFC 2045 to 2049)."""

import hashlib
import re
from base64 import encodebytes
from binascii import b2a_qp
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime
from urllib.parse import quote

from app.storage.message import Envelope

DEFAULT_HOSTNAME = "gomail.invalid"
MAX_PLAIN_SUBJECT_CHARACTERS = 900  # a line may have 998 (RFC 5322 section 2.1.1)

_PIECE = 50  # characters of a file name, of up to twelve when they are encoded
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Attachment:
    """One attachment; with a `content_id`, the HTML can show it."""

    content: bytes
    filename: str | None = None
    content_type: str | None = None
    content_id: str | None = None


@dataclass(frozen=True)
class Parts:
    """What a message is composed of; `subject` is one line."""

    subject: str = ""
    text: str | None = None
    html: str | None = None
    attachments: Sequence[Attachment] = ()


@dataclass(frozen=True)
class _Entity:
    """A MIME entity: its header fields and its body, with CRLF line ends."""

    fields: Sequence[str]
    body: bytes

    def __bytes__(self) -> bytes:
        return "\r\n".join(self.fields).encode() + b"\r\n\r\n" + self.body


def compose(
    envelope: Envelope, parts: Parts, digest: bytes, received_at: datetime, hostname: str
) -> bytes:
    """Return the message as bytes with CRLF line ends; a null sender becomes MAILER-DAEMON.

    `digest` is that of `content_digest`: the Message-ID and the boundaries are made of it.
    """
    identity = digest.hex()[:32]
    content = _content(parts, identity)
    fields = [
        f"Date: {format_datetime(received_at)}",
        f"From: {envelope.sender or f'MAILER-DAEMON@{hostname}'}",
        f"To: {envelope.recipient}",
        f"Subject: {_encode(parts.subject)}",
        f"Message-ID: <{identity}@{hostname}>",
        "MIME-Version: 1.0",
        *content.fields,
    ]
    return bytes(_Entity(fields, content.body))


def content_digest(envelope: Envelope, parts: Parts) -> bytes:
    """Return a SHA-256 that identifies a composed message, whenever it arrives."""
    digest = hashlib.sha256()
    texts = [envelope.sender, envelope.recipient, parts.subject, parts.text or ""]
    pieces = [each.encode() for each in texts]
    if parts.html is not None:
        pieces += [b"html", parts.html.encode()]
    for each in parts.attachments:
        names = (each.filename, each.content_type, each.content_id)
        pieces += [b"attachment", *((name or "").encode() for name in names), each.content]
    for piece in pieces:
        digest.update(len(piece).to_bytes(8, "big"))
        digest.update(piece)
    return digest.digest()


def _content(parts: Parts, identity: str) -> _Entity:
    """Return text and HTML as alternatives, the HTML with what it shows, then the attachments."""

    def is_shown(attachment: Attachment) -> bool:
        return bool(attachment.content_id) and parts.html is not None

    shown = [each for each in parts.attachments if is_shown(each)]
    others = [each for each in parts.attachments if not is_shown(each)]
    bodies = []
    if parts.text is not None or parts.html is None:
        bodies.append(_text("plain", parts.text or ""))
    if parts.html is not None:
        html = [_text("html", parts.html), *map(_attachment, shown)]
        bodies.append(_multipart("related", html, identity))
    body = _multipart("alternative", bodies, identity)
    return _multipart("mixed", [body, *map(_attachment, others)], identity)


def _multipart(subtype: str, entities: Sequence[_Entity], identity: str) -> _Entity:
    if len(entities) == 1:
        return entities[0]
    # "=_" can't occur in quoted-printable or Base64 (RFC 2045 section 6.7).
    boundary = f"=_{subtype}_{identity}"
    opening = f"--{boundary}\r\n".encode()
    body = b"\r\n".join(opening + bytes(entity) for entity in entities)
    closing = f"\r\n--{boundary}--\r\n".encode()
    return _Entity([f'Content-Type: multipart/{subtype}; boundary="{boundary}"'], body + closing)


def _text(subtype: str, text: str) -> _Entity:
    body = _LINE_END.sub("\r\n", text.rstrip("\r\n") + "\n").encode()
    fields = [
        f"Content-Type: text/{subtype}; charset=utf-8",
        "Content-Transfer-Encoding: quoted-printable",
    ]
    return _Entity(fields, b2a_qp(body, istext=True))


def _attachment(given: Attachment) -> _Entity:
    disposition = "inline" if given.content_id else "attachment"
    fields = [
        f"Content-Type: {given.content_type or 'application/octet-stream'}",
        "Content-Transfer-Encoding: base64",
        f"Content-Disposition: {disposition}{_filename(given.filename)}",
    ]
    if given.content_id:
        fields.append(f"Content-ID: <{given.content_id.strip('<>')}>")
    return _Entity(fields, encodebytes(given.content).replace(b"\n", b"\r\n"))


def _filename(name: str | None) -> str:
    if name is None:
        return ""
    if name.isascii():
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f';\r\n filename="{escaped}"'
    # In pieces, since a line has a limit (RFC 2231 sections 3 and 4).
    pieces = [quote(name[at : at + _PIECE], safe="") for at in range(0, len(name), _PIECE)]
    pieces[0] = "utf-8''" + pieces[0]
    if len(pieces) == 1:
        return f";\r\n filename*={pieces[0]}"
    return "".join(f";\r\n filename*{at}*={piece}" for at, piece in enumerate(pieces))


def _encode(subject: str) -> str:
    is_plain = subject.isascii() and "=?" not in subject
    if is_plain and len(subject) <= MAX_PLAIN_SUBJECT_CHARACTERS:
        return subject
    return Header(subject, "utf-8").encode(linesep="\r\n")
