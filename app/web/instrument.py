"""What every request gets: an id, and a line in the log."""

import logging
import re
import time
import uuid

from flask import Flask, Response, g, request

from app import logs
from app.server import flow
from app.web.current import current_services

_SANE_REQUEST_ID = re.compile(r"[\x20-\x7e]{1,128}")
_log = logging.getLogger(__name__)


def register(app: Flask) -> None:
    """Give each request of `app` its id first, and its line last."""
    app.before_request(_begin)
    app.after_request(_finish)
    app.teardown_request(_forget)


def _begin() -> None:
    g.started_at = time.perf_counter()
    g.request_id = _request_id(request.headers.get("X-Request-ID", ""))
    logs.request_id.set(g.request_id)


def _finish(answer: Response) -> Response:
    answer.headers["X-Request-ID"] = g.request_id
    deadline = flow.deadline.get()
    if deadline is not None:
        deadline.answer_within(current_services().write_timeout)
    _log.info(
        "%s %s %s",
        request.method,
        request.path,
        answer.status_code,
        extra={
            "method": request.method,
            "path": request.path,
            "status": answer.status_code,
            "code": g.get("code"),
            "peer": request.remote_addr,
            "duration_ms": round((time.perf_counter() - g.started_at) * 1000, 2),
        },
    )
    return answer


def _forget(_error: BaseException | None) -> None:
    logs.request_id.set(None)


def _request_id(given: str) -> str:
    return given if _SANE_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
