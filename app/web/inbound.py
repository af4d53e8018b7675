"""POST /mail/inbound: where messages come in."""

from datetime import datetime
from json import JSONEncoder
from typing import TYPE_CHECKING

from flask import Blueprint, Request, Response

from app.auth.tokens import TokenKind
from app.errors import UnsupportedMediaType
from app.intake.envelope import PartialEnvelope
from app.intake.partial_message import PartialMessage
from app.intake.receive import BodyKind, Received, Upload
from app.storage.ids import milliseconds_since_epoch
from app.storage.message import SMTPClient
from app.web.access import needs
from app.web.plain_answer import PlainAnswer
from app.web.request_context import (
    RequestContext,
    current_request,
    current_services,
    flask_request,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

blueprint = Blueprint("inbound", __name__)

RULES = ("/mail/inbound", "/email")

_KIND_OF_TYPE = {
    "message/rfc822": BodyKind.RAW,
    "message/global": BodyKind.RAW,  # RFC 6532
    "application/json": BodyKind.JSON,
    # What curl sends unless told otherwise.
    "application/x-www-form-urlencoded": BodyKind.UNDECLARED,
    "": BodyKind.UNDECLARED,
}

_encode = JSONEncoder().encode

_SUPPORTED = "The type {} is not supported: send message/rfc822 or application/json."
_ADVICE = {
    "multipart/form-data": "The type {} is not supported: send the message itself as the body"
    " (curl --data-binary @FILE, not -F), as message/rfc822 or application/json."
}

# How bytes that aren't UTF-8 are decoded: as backslashes, which can be stored; as surrogates, which
# differ from all text; or as the replacement character, which no address may have.
_AS_BACKSLASHES, _AS_SURROGATES, _AS_REPLACEMENT = "backslashreplace", "surrogateescape", "replace"


@blueprint.post(RULES[0])
@blueprint.post(RULES[1])
@needs(TokenKind.BEARER)
def inbound() -> Response:
    """Receive one message.

    Returns:
    - 200 when the message is stored, or already was: from now on it would survive a power cut
    - 400 `bad_request` when the body is cut short, is not valid JSON, or contradicts itself
    - 401 `unauthorized` without a valid token
    - 403 `forbidden` with an api_token, which doesn't permit delivering messages
    - 403 `policy_reject` when the sender's domain is blocked
    - 408 `timeout` when the body takes longer than read_timeout or handler_timeout
    - 413 `message_too_large` beyond max_message_size
    - 415 `unsupported_media_type` for other types and encodings
    - 422 `message_rejected` when the body is not a message, or has no usable address
    - 422 `recipient_unknown` when mail for the recipient's domain is not accepted
    - 429 `rate_limited` when the client has reached its rate limit
    - 503 `shutting_down` while the server drains
    - 503 `storage_unavailable` when nothing can be stored at the moment
    """
    services, context, request = current_services(), current_request(), flask_request()
    context.partial = partial = partial_message(request.environ)
    upload = _upload(request, context, partial)
    received = context.received = services.receiver.receive(upload)
    if not received.receipt.duplicate:
        stored_at_ms = milliseconds_since_epoch(received.receipt.stored_at)
        services.slots.count_message(received.size, stored_at_ms)
    return _answer(received, services.clock(), context.request_id)


def _upload(request: Request, context: RequestContext, partial: PartialMessage) -> Upload:
    environ = request.environ
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise UnsupportedMediaType("Content-Encoding is not supported: send the bytes as they are.")
    transfer_encoding = environ.get("HTTP_TRANSFER_ENCODING")
    if transfer_encoding is not None and transfer_encoding.strip().lower() != "chunked":
        raise UnsupportedMediaType("The only supported Transfer-Encoding is chunked.")
    kind = _KIND_OF_TYPE.get(environ.get("CONTENT_TYPE", "")) or _kind_of(request.mimetype)
    return Upload(
        # Gunicorn's own stream: it ends where the body ends, and reports a truncated chunked body.
        stream=environ["wsgi.input"],
        content_length=_content_length(environ) if transfer_encoding is None else None,
        kind=kind,
        partial=partial,
        idempotency_key=_header(environ, "HTTP_IDEMPOTENCY_KEY", _AS_SURROGATES) or None,
        is_late=context.is_late,
    )


def _content_length(environ: "WSGIEnvironment") -> int:
    length = environ.get("CONTENT_LENGTH", "")
    return int(length) if length.isdecimal() else 0


def _kind_of(mimetype: str) -> BodyKind:
    kind = _KIND_OF_TYPE.get(mimetype)
    if kind is None:
        raise UnsupportedMediaType(_ADVICE.get(mimetype, _SUPPORTED).format(mimetype))
    return kind


def partial_message(environ: "WSGIEnvironment") -> PartialMessage:
    """Return what the head of a request says of the message."""
    return PartialMessage(_envelope(environ))


def _envelope(environ: "WSGIEnvironment") -> PartialEnvelope:
    return PartialEnvelope(
        sender=_header(environ, "HTTP_X_ORIGINAL_SENDER", _AS_REPLACEMENT),
        recipient=_header(environ, "HTTP_X_ORIGINAL_RECIPIENT", _AS_REPLACEMENT),
        connection=SMTPClient(
            client_address=_header(environ, "HTTP_X_ORIGINAL_CLIENT_ADDRESS"),
            client_hostname=_header(environ, "HTTP_X_ORIGINAL_CLIENT_HOSTNAME"),
            helo=_header(environ, "HTTP_X_ORIGINAL_HELO"),
        ),
        mail_from=_header(environ, "HTTP_X_ORIGINAL_MAIL_FROM"),
        queue_id=_header(environ, "HTTP_X_ORIGINAL_QUEUE_ID") or None,
    )


def _header(environ: "WSGIEnvironment", name: str, errors: str = _AS_BACKSLASHES) -> str | None:
    value: str | None = environ.get(name)
    # Internationalized addresses are sent in UTF-8 (RFC 6531), which WSGI decodes otherwise.
    return None if value is None else value.encode("latin-1").decode("utf-8", errors)


def _answer(received: Received, timestamp: datetime, request_id: str) -> Response:
    # As ReceiptSchema describes it; marshmallow itself would cost a tenth of the request.
    answer = {
        "status": "success",
        "message_id": received.receipt.message_id,
        "stored_at": received.receipt.stored_at.isoformat(),
        "timestamp": timestamp.isoformat(),
        "request_id": request_id,
        "duplicate": received.receipt.duplicate,
    }
    return PlainAnswer(_encode(answer), content_type="application/json")
