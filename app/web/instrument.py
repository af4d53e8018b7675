"""What every request gets: an id, and a line in the log."""

import logging
import random
import re
import time

from flask import Flask, Response

from app import logs
from app.receive import Received
from app.server import flow
from app.web.current import current_request, current_services

_SANE_REQUEST_ID = re.compile(r"[\x20-\x7e]{1,128}")
_log = logging.getLogger(__name__)


def register(app: Flask) -> None:
    """Give each request of `app` its id first, and its line last."""
    app.before_request(_begin)
    app.after_request(_finish)
    app.teardown_request(_forget)


def _begin() -> None:
    current, known = current_request()
    known["started_at"] = time.perf_counter()
    known["request_id"] = _request_id(current.environ.get("HTTP_X_REQUEST_ID", ""))
    logs.request_id.set(known["request_id"])


def _finish(answer: Response) -> Response:
    current, known = current_request()
    answer.headers["X-Request-ID"] = known["request_id"]
    deadline = flow.deadline.get()
    if deadline is not None:
        deadline.answer_within(current_services().write_timeout)
    members = {
        "method": current.method,
        "path": current.path,
        "status": answer.status_code,
        "code": known.get("code"),
        "peer": current.remote_addr,
        "duration_ms": round((time.perf_counter() - known["started_at"]) * 1000, 2),
    }
    received: Received | None = known.get("received")
    if received is not None:
        members |= _of_message(received)
    _log.info("%s %s %s", current.method, current.path, answer.status_code, extra=members)
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


def _forget(_error: BaseException | None) -> None:
    logs.request_id.set(None)


def _request_id(given: str) -> str:
    # No secret, so no system call; Gunicorn seeds each worker anew.
    return given if _SANE_REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
