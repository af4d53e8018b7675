"""Writes the log line of each request."""

import logging
import time
from collections.abc import Mapping

from flask import Request, Response

from app.intake.receive import Received
from app.web.hooks.rate_limit import client_of_request
from app.web.inbound import RULES, partial_message
from app.web.request_context import RequestContext

MOST_FAULTS = 10

_log = logging.getLogger(__name__)


def log_request(context: RequestContext, request: Request, answer: Response) -> None:
    """Log the request that `answer` is for, with its message if one was received."""
    status, environ = answer.status_code, request.environ
    level = _level(context, status)
    if not _log.isEnabledFor(level):
        return
    method, path = environ["REQUEST_METHOD"], request.path
    members = {
        "method": method,
        "path": path,
        "status": status,
        "code": context.code,
        "detail": context.detail,
        "peer": environ.get("REMOTE_ADDR"),
        "client": context.client,
        "token": context.token.fingerprint if context.token else None,
        "duration_ms": round((time.perf_counter() - context.started_at) * 1000, 2),
    }
    if context.received is not None:
        members |= _of_message(context.received)
    elif context.rule in RULES:
        members |= _of_refusal(context, request)
    _log.log(level, "%s %s %s", method, path, status, extra=members)


def _level(context: RequestContext, status: int) -> int:
    """A message that didn't get in is worth a warning, a fault of the server an error."""
    if status >= 500 and context.code != "shutting_down":
        return logging.ERROR
    if status >= 400 and context.rule in RULES:
        return logging.WARNING
    return logging.DEBUG if context.is_public else logging.INFO


def _of_message(received: Received) -> Mapping[str, object]:
    return {
        "message_id": received.receipt.message_id,
        "duplicate": received.receipt.duplicate,
        "sender": received.envelope.sender,
        "recipient": received.envelope.recipient,
        "queue_id": received.envelope.queue_id,
        "size": received.size,
    }


def _of_refusal(context: RequestContext, request: Request) -> Mapping[str, object]:
    """Return what is known of a message that didn't get in, however early it was refused."""
    partial = context.partial or partial_message(request.environ)
    faults = [f"{fault.field}: {fault.message}" for fault in context.faults[:MOST_FAULTS]]
    return {
        "client": context.client or client_of_request(request.environ),
        "sender": partial.sender,
        "recipient": partial.recipient,
        "queue_id": partial.queue_id,
        "size": partial.size or request.content_length,
        "faults": "; ".join(faults)[:1000] or None,
    }
