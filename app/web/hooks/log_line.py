"""Writes the log line of each request."""

import logging
import time

from flask import Flask, Response, request

from app.intake.receive import Received
from app.web.request_context import current_request

_log = logging.getLogger(__name__)


def register(app: Flask) -> None:
    """Log each request of `app`, with its message if one was received."""
    app.after_request(_log_request)


def _log_request(answer: Response) -> Response:
    context, environ = current_request(), request.environ
    method, path = environ["REQUEST_METHOD"], request.path
    members = {
        "method": method,
        "path": path,
        "status": answer.status_code,
        "code": context.code,
        "peer": environ.get("REMOTE_ADDR"),
        "duration_ms": round((time.perf_counter() - context.started_at) * 1000, 2),
    }
    if context.received is not None:
        members |= _of_message(context.received)
    _log.info("%s %s %s", method, path, answer.status_code, extra=members)
    return answer


def _of_message(received: Received) -> dict[str, object]:
    return {
        "message_id": received.receipt.message_id,
        "duplicate": received.receipt.duplicate,
        "sender": received.envelope.sender,
        "recipient": received.envelope.recipient,
        "queue_id": received.envelope.queue_id,
        "size": received.size,
    }
