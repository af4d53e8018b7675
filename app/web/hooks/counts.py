"""Counts each request in the metrics, as soon as there is an answer."""

import time

from flask import Flask, Response

from app.errors import ERRORS
from app.metrics.recorder import UNMATCHED, Recorder
from app.web.inbound import RULES
from app.web.request_context import RequestContext


def know_routes(app: Flask, recorder: Recorder) -> None:
    """Prepare to count the requests of `app`, whose routes must all be registered."""
    rules = [rule.rule for rule in app.url_map.iter_rules()]
    recorder.know_endpoints([*rules, UNMATCHED], RULES)


def count(recorder: Recorder, context: RequestContext, method: str, answer: Response) -> None:
    """Count the request that `answer` is for."""
    size = 0 if method == "HEAD" else int(answer.headers.get("Content-Length", 0))
    seconds = time.perf_counter() - context.started_at
    recorder.request(method, context.rule, answer.status_code, seconds, size)
    if context.decision is not None:
        recorder.rate_limit(allowed=context.decision.allowed)
    if context.code is not None:
        recorder.error(context.code, context.rule)
    if context.rule in RULES:
        _count_message(recorder, context)


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
