"""What is counted of every request, in one hook, as soon as there is an answer."""

import time

from flask import Flask, Response

from app.metrics.recorder import NotStored, Recorder
from app.ratelimit.token_bucket import Decision
from app.receive import Received
from app.web.current import current_request

# The others were refused before anybody looked at a message.
_OUTCOME_OF_CODE: dict[str, NotStored] = {
    "bad_request": "rejected",
    "policy_reject": "rejected",
    "message_too_large": "rejected",
    "unsupported_media_type": "rejected",
    "message_rejected": "rejected",
    "recipient_unknown": "rejected",
    "timeout": "error",
    "storage_unavailable": "error",
    "internal_error": "error",
}


def register(app: Flask, recorder: Recorder, mail_paths: frozenset[str]) -> None:
    """Count the requests of `app`, whose routes are all known by now."""
    recorder.know_endpoints((rule.rule for rule in app.url_map.iter_rules()), mail_paths)

    @app.after_request
    def count(answer: Response) -> Response:
        current, known = current_request()
        method, path = current.method, current.path
        size = 0 if method == "HEAD" else int(answer.headers.get("Content-Length", 0))
        seconds = time.perf_counter() - known["started_at"]
        recorder.request(method, path, answer.status_code, seconds, size)
        decision: Decision | None = known.get("decision")
        if decision is not None:
            recorder.rate_limit(allowed=decision.allowed)
        code: str | None = known.get("code")
        if code is not None:
            recorder.error(code, path)
        if path in mail_paths:
            _count_message(recorder, known.get("received"), code)
        return answer


def _count_message(recorder: Recorder, received: Received | None, code: str | None) -> None:
    if received is None:
        outcome = _OUTCOME_OF_CODE.get(code or "")
        if outcome is not None:
            recorder.not_stored(outcome)
    elif received.receipt.duplicate:
        recorder.not_stored("duplicate")
    else:
        recorder.stored(received.size, received.processing_seconds)
