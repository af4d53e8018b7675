"""POST /mail/inbound: where a message comes in."""

import json
from datetime import datetime
from typing import TYPE_CHECKING

from flask import Blueprint, Response, g, request

from app.authenticate import authenticate
from app.errors import UnsupportedMediaType
from app.message_id import milliseconds_since_epoch
from app.model import Connection, PartialEnvelope
from app.receive import BodyKind, Received, Upload
from app.server import flow
from app.web.current import current_services

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

blueprint = Blueprint("inbound", __name__)

PATHS = ("/mail/inbound", "/email")

_KIND_OF_TYPE = {
    "message/rfc822": BodyKind.RAW,
    "application/json": BodyKind.JSON,
    # What curl says when it is told nothing.
    "application/x-www-form-urlencoded": BodyKind.UNDECLARED,
    "": BodyKind.UNDECLARED,
}


# What is to become of bytes that aren't UTF-8: backslashes, so that different keys stay different;
# or a character that no address may have.
_KEEPS_APART, _MAKES_NO_ADDRESS = "backslashreplace", "replace"


@blueprint.post(PATHS[0])
@blueprint.post(PATHS[1])
def inbound() -> Response:
    """Take one message in.

    Returns:
    - 200 when the message is stored, or was before: it would survive a power cut from now on
    - 400 `bad_request` when the body is cut short, is no JSON, or contradicts itself
    - 401 `unauthorized` without a valid bearer token
    - 403 `policy_reject` when the sender's domain is blocked
    - 408 `timeout` when the body takes longer than read_timeout or handler_timeout
    - 413 `message_too_large` beyond max_message_size
    - 415 `unsupported_media_type` for other types and encodings
    - 422 `message_rejected` when this is no message, or has no usable address
    - 422 `recipient_unknown` when no mail is received for the recipient's domain
    - 429 `rate_limited` when the client has used up its requests
    - 503 `shutting_down` when the server drains
    - 503 `storage_unavailable` when nothing can be stored now
    """
    services = current_services()
    environ = request.environ
    authenticate(_header_bytes(environ, "HTTP_AUTHORIZATION"), services.bearer_tokens)
    upload = _upload(environ, request.mimetype, request.content_length or 0)
    received = g.received = services.receiver.receive(upload)
    if not received.receipt.duplicate:
        stored_at_ms = milliseconds_since_epoch(received.receipt.stored_at)
        services.slots.count_message(received.size, stored_at_ms)
    return _answer(received, services.clock())


def _upload(environ: "WSGIEnvironment", mimetype: str, content_length: int) -> Upload:
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise UnsupportedMediaType("A Content-Encoding isn't taken: send the bytes as they are.")
    transfer_encoding = environ.get("HTTP_TRANSFER_ENCODING")
    if transfer_encoding is not None and transfer_encoding.strip().lower() != "chunked":
        raise UnsupportedMediaType("A Transfer-Encoding other than chunked isn't taken.")
    kind = _KIND_OF_TYPE.get(mimetype)
    if kind is None:
        raise UnsupportedMediaType(
            f"The type {mimetype} isn't taken: send message/rfc822 or application/json."
        )
    return Upload(
        # Gunicorn's own stream: it ends where the body ends, and tells a chunked body cut short.
        stream=environ["wsgi.input"],
        content_length=content_length if transfer_encoding is None else None,
        kind=kind,
        envelope=_envelope(environ),
        idempotency_key=_header(environ, "HTTP_IDEMPOTENCY_KEY") or None,
        is_late=flow.is_late,
    )


def _envelope(environ: "WSGIEnvironment") -> PartialEnvelope:
    return PartialEnvelope(
        sender=_header(environ, "HTTP_X_ORIGINAL_SENDER", _MAKES_NO_ADDRESS),
        recipient=_header(environ, "HTTP_X_ORIGINAL_RECIPIENT", _MAKES_NO_ADDRESS),
        connection=Connection(
            client_address=_header(environ, "HTTP_X_ORIGINAL_CLIENT_ADDRESS"),
            client_hostname=_header(environ, "HTTP_X_ORIGINAL_CLIENT_HOSTNAME"),
            helo=_header(environ, "HTTP_X_ORIGINAL_HELO"),
        ),
        mail_from=_header(environ, "HTTP_X_ORIGINAL_MAIL_FROM"),
        queue_id=_header(environ, "HTTP_X_ORIGINAL_QUEUE_ID") or None,
    )


def _header(environ: "WSGIEnvironment", name: str, errors: str = _KEEPS_APART) -> str | None:
    value = _header_bytes(environ, name)
    # Internationalised addresses come in UTF-8 (RFC 6531).
    return None if value is None else value.decode("utf-8", errors)


def _header_bytes(environ: "WSGIEnvironment", name: str) -> bytes | None:
    value: str | None = environ.get(name)
    return None if value is None else value.encode("latin-1")  # as WSGI has decoded it (PEP 3333)


def _answer(received: Received, timestamp: datetime) -> Response:
    # What ReceiptSchema describes, without its machinery: it costs a tenth of the request.
    answer = {
        "status": "success",
        "message_id": received.receipt.message_id,
        "stored_at": received.receipt.stored_at.isoformat(),
        "timestamp": timestamp.isoformat(),
        "request_id": g.request_id,
        "duplicate": received.receipt.duplicate,
    }
    return Response(json.dumps(answer), content_type="application/json")
