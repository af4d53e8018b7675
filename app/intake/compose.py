"""A message made of a subject and a text, for clients that have no raw one (RFC 5322)."""

import hashlib
import re
from binascii import b2a_qp
from datetime import datetime
from email.header import Header
from email.utils import format_datetime

from app.storage.message import Envelope

DEFAULT_HOSTNAME = "gomail.invalid"
MAX_PLAIN_SUBJECT_CHARACTERS = 900  # a line may have 998 (RFC 5322 section 2.1.1)

_LINE_END = re.compile(r"\r\n|\r|\n")


def compose(
    envelope: Envelope, subject: str, text: str, received_at: datetime, hostname: str
) -> bytes:
    """Return the message as bytes with CRLF line ends; a null sender becomes MAILER-DAEMON.

    The Message-ID is the same for the same content. `subject` must be one line.
    """
    identity = content_digest(envelope, subject, text).hex()[:32]
    fields = [
        f"Date: {format_datetime(received_at)}",
        f"From: {envelope.sender or f'MAILER-DAEMON@{hostname}'}",
        f"To: {envelope.recipient}",
        f"Subject: {_encode(subject)}",
        f"Message-ID: <{identity}@{hostname}>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: quoted-printable",
    ]
    head = "\r\n".join(fields).encode()
    body = _LINE_END.sub("\r\n", text.rstrip("\r\n") + "\n").encode()
    return head + b"\r\n\r\n" + b2a_qp(body, istext=True)


def content_digest(envelope: Envelope, subject: str, text: str) -> bytes:
    """Return a SHA-256 by which composed messages are told apart, whenever they arrive."""
    digest = hashlib.sha256()
    for part in (envelope.sender, envelope.recipient, subject, text):
        digest.update(len(part.encode()).to_bytes(8, "big") + part.encode())
    return digest.digest()


def _encode(subject: str) -> str:
    is_plain = subject.isascii() and "=?" not in subject
    if is_plain and len(subject) <= MAX_PLAIN_SUBJECT_CHARACTERS:
        return subject
    return Header(subject, "utf-8").encode(linesep="\r\n")
