"""What the client has sent, as every later step sees it: an envelope and a raw message.

JSON is turned into both here, and from then on is treated like everything else.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from app.errors import BadRequest
from app.intake.bounds import check_bounds
from app.intake.compose import DEFAULT_HOSTNAME, Parts, compose, content_digest
from app.intake.envelope import PartialEnvelope, complete, merge
from app.intake.headers import Head
from app.intake.json_mail import decode_json_mail
from app.intake.partial_message import PartialMessage

_FIELD_IN_LINE = re.compile(
    rb"(?:From|To|Cc|Subject|Date|Message-ID|MIME-Version|Content-Type|Received|Return-Path"
    rb"|Reply-To|Delivered-To|DKIM-Signature): ?",
    re.ASCII,
)


@dataclass(frozen=True)
class Submission:
    """What the client said about the envelope of the raw message.

    `digest` identifies a composed message: its bytes can't, since each has another Date.
    """

    envelope: PartialEnvelope
    digest: bytes | None = None


def from_json(
    json: bytes, partial: PartialMessage, hostname: str | None, now: datetime
) -> tuple[Submission, bytes]:
    """Return the submission in `json` and its raw message, composed when none was given.

    `partial` is what the request's headers say about the envelope, and learns what the body says.
    Raises BadRequest, and MessageRejected when composing a message lacks a sender or recipient.
    """
    mail = decode_json_mail(json)
    given = partial.envelope = merge(partial.envelope, mail.envelope)
    if mail.raw is not None:
        return Submission(given), mail.raw
    check_bounds(given)
    envelope = complete(given, Head())
    parts = Parts(mail.subject, mail.text, mail.html, mail.attachments)
    raw = compose(envelope, parts, now, hostname or DEFAULT_HOSTNAME)
    return Submission(given, content_digest(envelope, parts)), raw


def refuse_joined_lines(beginning: bytes) -> None:
    """Raise BadRequest when a message has lost its line ends on the way, as with `curl -d @FILE`.

    Stored, it would be one header field that holds the whole message.
    """
    if b"\n" not in beginning and len(set(_FIELD_IN_LINE.findall(beginning))) > 1:
        raise BadRequest(
            "The message has no line ends: curl -d removes them from a file. Send it with"
            " --data-binary @FILE."
        )
