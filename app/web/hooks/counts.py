"""Counts each request in the metrics, in one hook, as soon as there is an answer."""

import time

from flask import Flask, Response, request

from app.errors import ERRORS
from app.metrics.recorder import UNMATCHED, Recorder
from app.web.inbound import RULES
from app.web.request_context import RequestContext, current_request


def register(app: Flask, recorder: Recorder) -> None:
    """Count the requests of `app`; its routes must all be registered."""
    rules = [rule.rule for rule in app.url_map.iter_rules()]
    recorder.know_endpoints([*rules, UNMATCHED], RULES)

    @app.after_request
    def count(answer: Response) -> Response:
        context, method = current_request(), request.environ["REQUEST_METHOD"]
        size = 0 if method == "HEAD" else int(answer.headers.get("Content-Length", 0))
        seconds = time.perf_counter() - context.started_at
        recorder.request(method, context.rule, answer.status_code, seconds, size)
        if context.decision is not None:
            recorder.rate_limit(allowed=context.decision.allowed)
        if context.code is not None:
            recorder.error(context.code, context.rule)
        if context.rule in RULES:
            _count_message(recorder, context)
        return answer


def _count_message(recorder: Recorder, context: RequestContext) -> None:
    received = context.received
    if received is None:
        outcome = ERRORS[context.code].outcome if context.code else None
        if outcome is not None:
            recorder.not_stored(outcome)
    elif received.receipt.duplicate:
        recorder.not_stored("duplicate")
    else:
        recorder.stored(received.size, received.processing_seconds)
        if received.is_unrouted:
            recorder.without_endpoint()
