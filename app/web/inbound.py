"""POST /mail/inbound: where a message comes in."""

import logging
from datetime import datetime

from flask import Blueprint, Response, g, json, request

from app.authenticate import authenticate
from app.errors import UnsupportedMediaType
from app.message_id import milliseconds_since_epoch
from app.model import Connection, PartialEnvelope
from app.receive import BodyKind, Received, Upload
from app.server import flow
from app.web.answers import ReceiptSchema
from app.web.current import current_services

blueprint = Blueprint("inbound", __name__)

PATHS = ("/mail/inbound", "/email")

_KIND_OF_TYPE = {
    "message/rfc822": BodyKind.RAW,
    "application/json": BodyKind.JSON,
    # What curl says when it is told nothing.
    "application/x-www-form-urlencoded": BodyKind.UNDECLARED,
    "": BodyKind.UNDECLARED,
}
_SCHEMA = ReceiptSchema()
_log = logging.getLogger(__name__)


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
    authenticate(_header_bytes("Authorization"), services.bearer_tokens)
    received = g.received = services.receiver.receive(_upload())
    if not received.receipt.duplicate:
        stored_at_ms = milliseconds_since_epoch(received.receipt.stored_at)
        services.slots.count_message(received.size, stored_at_ms)
    _log_receipt(received)
    return _answer(received, services.clock())


def _upload() -> Upload:
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("A Content-Encoding isn't taken: send the bytes as they are.")
    is_chunked = "Transfer-Encoding" in request.headers
    if is_chunked and request.headers["Transfer-Encoding"].strip().lower() != "chunked":
        raise UnsupportedMediaType("A Transfer-Encoding other than chunked isn't taken.")
    kind = _KIND_OF_TYPE.get(request.mimetype)
    if kind is None:
        raise UnsupportedMediaType(
            f"The type {request.mimetype} isn't taken: send message/rfc822 or application/json."
        )
    return Upload(
        # Gunicorn's own stream: it ends where the body ends, and tells a chunked body cut short.
        stream=request.environ["wsgi.input"],
        content_length=None if is_chunked else request.content_length or 0,
        kind=kind,
        envelope=_envelope(),
        idempotency_key=_header("Idempotency-Key") or None,
        is_late=flow.is_late,
    )


def _envelope() -> PartialEnvelope:
    return PartialEnvelope(
        sender=_header("X-Original-Sender"),
        recipient=_header("X-Original-Recipient"),
        connection=Connection(
            client_address=_header("X-Original-Client-Address"),
            client_hostname=_header("X-Original-Client-Hostname"),
            helo=_header("X-Original-Helo"),
        ),
        mail_from=_header("X-Original-Mail-From"),
        queue_id=_header("X-Original-Queue-Id") or None,
    )


def _header(name: str) -> str | None:
    value = _header_bytes(name)
    # Internationalised addresses come in UTF-8 (RFC 6531). Other bytes become backslashes, so
    # that different values stay different; no address has one.
    return None if value is None else value.decode("utf-8", "backslashreplace")


def _header_bytes(name: str) -> bytes | None:
    value = request.headers.get(name)
    return None if value is None else value.encode("latin-1")  # as WSGI has decoded it (PEP 3333)


def _log_receipt(received: Received) -> None:
    _log.info(
        "Message stored before" if received.receipt.duplicate else "Message stored",
        extra={
            "message_id": received.receipt.message_id,
            "sender": received.envelope.sender,
            "recipient": received.envelope.recipient,
            "queue_id": received.envelope.queue_id,
            "size": received.size,
        },
    )


def _answer(received: Received, timestamp: datetime) -> Response:
    answer = _SCHEMA.dump(
        {
            "message_id": received.receipt.message_id,
            "stored_at": received.receipt.stored_at,
            "timestamp": timestamp,
            "request_id": g.request_id,
            "duplicate": received.receipt.duplicate,
        }
    )
    return Response(json.dumps(answer), content_type="application/json")
