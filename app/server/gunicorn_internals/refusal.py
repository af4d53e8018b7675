"""Answers, counts and logs a request that never reached the application."""

import time
import uuid
from contextlib import suppress
from typing import Any

from app import logs
from app.errors import ERRORS
from app.metrics.recorder import UNMATCHED
from app.server.gunicorn_internals.deadlines import peer
from app.server.gunicorn_internals.unparsed import raw_problem, refusal_of
from app.server.worker_metrics import current_recorder
from app.web.request_context import current_request


def refuse(client: Any, addr: Any, exc: BaseException, cfg: Any, log: Any) -> None:
    """Answer on the socket `client`; in a thread that has begun a request."""
    code, detail = refusal_of(exc, cfg)
    request_id = uuid.uuid4().hex
    logs.request_id.set(request_id)
    if code == "internal_error":
        log.error("Unexpected failure", exc_info=exc)
    members = {"peer": peer(addr), "detail": detail}
    log.info("A request was refused unparsed: %s", code, extra=members)
    logs.request_id.set(None)
    answer = raw_problem(code, detail, request_id)
    recorder = current_recorder()
    if recorder:
        seconds = time.perf_counter() - current_request().started_at
        size = len(answer.partition(b"\r\n\r\n")[2])
        recorder.request("", UNMATCHED, ERRORS[code].status, seconds, size)
        recorder.error(code, UNMATCHED)
    with suppress(OSError):
        client.sendall(answer)
