"""Mail sent as JSON becomes a raw message, and is treated like every other one from then on."""

import re
from dataclasses import dataclass
from datetime import datetime

from app.errors import BadRequest
from app.intake.bounds import check_bounds
from app.intake.compose import DEFAULT_HOSTNAME, Parts, compose, content_digest
from app.intake.envelope import complete, merge
from app.intake.headers import Head
from app.intake.json_mail import decode_json_mail
from app.intake.partial_message import PartialMessage
from app.storage.message import Envelope

_FIELD_IN_LINE = re.compile(
    rb"(?:From|To|Cc|Subject|Date|Message-ID|MIME-Version|Content-Type|Received|Return-Path"
    rb"|Reply-To|Delivered-To|DKIM-Signature): ?",
    re.ASCII,
)


@dataclass(frozen=True)
class Composed:
    """What identifies a message that was composed: its bytes can't, since each has another Date."""

    envelope: Envelope
    digest: bytes


def from_json(
    json: bytes, partial: PartialMessage, hostname: str | None, now: datetime
) -> tuple[bytes, Composed | None]:
    """Return the raw message in `json`, else one that is composed, and then what identifies it.

    `partial` is what the request's headers say about the envelope, and learns what the body says.
    Raises BadRequest, and MessageRejected when a message to be composed lacks sender or recipient.
    """
    mail = decode_json_mail(json)
    given = partial.envelope = merge(partial.envelope, mail.envelope)
    if mail.raw is not None:
        return mail.raw, None
    check_bounds(given)
    envelope = complete(given, Head())
    parts = Parts(mail.subject, mail.text, mail.html, mail.attachments)
    digest = content_digest(envelope, parts)
    raw = compose(envelope, parts, digest, now, hostname or DEFAULT_HOSTNAME)
    return raw, Composed(envelope, digest)


def refuse_joined_lines(beginning: bytes) -> None:
    """Raise BadRequest when a message has lost its line ends on the way, as with `curl -d @FILE`.

    Stored, it would be one header field that holds the whole message.
    """
    if b"\n" not in beginning and len(set(_FIELD_IN_LINE.findall(beginning))) > 1:
        raise BadRequest(
            "The message has no line ends: curl -d removes them from a file. Send it with"
            " --data-binary @FILE."
        )
