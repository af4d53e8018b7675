"""The rate limit, taken before anything else so that guessing tokens is limited too."""

import math

from flask import Flask, Response, g, request

from app.errors import RateLimited
from app.ratelimit.client import Claims, client_of
from app.ratelimit.token_bucket import Decision
from app.web import inbound
from app.web.current import current_services

_LIMITED_PATHS = frozenset(inbound.PATHS)


def register(app: Flask) -> None:
    """Limit the inbound routes of `app`, whatever the method."""
    app.before_request(_take_token)
    app.after_request(_add_headers)


def _take_token() -> None:
    services = current_services()
    if services.limiter is None or request.path not in _LIMITED_PATHS:
        return
    client = client_of(request.remote_addr or "", _claims(), services.rate_limit.trusted_proxies)
    g.decision = services.limiter.take(client)
    if not g.decision.allowed:
        raise RateLimited(g.decision.retry_after_us / 1_000_000)


def _claims() -> Claims:
    headers = request.headers
    return Claims(
        headers.get("X-Original-Client-Address"),
        headers.get("X-Forwarded-For"),
        headers.get("X-Real-IP"),
    )


def _add_headers(answer: Response) -> Response:
    decision: Decision | None = g.get("decision")
    if decision is None:
        return answer
    services = current_services()
    full_after = decision.full_after_us / 1_000_000
    per_minute = services.rate_limit.per_minute
    answer.headers["X-RateLimit-Limit"] = str(per_minute)
    answer.headers["X-RateLimit-Remaining"] = str(decision.remaining)
    answer.headers["X-RateLimit-Reset"] = str(math.ceil(services.clock().timestamp() + full_after))
    # draft-ietf-httpapi-ratelimit-headers-10
    answer.headers["RateLimit-Policy"] = f'"minute";q={per_minute};w=60'
    answer.headers["RateLimit"] = f'"minute";r={decision.remaining};t={math.ceil(full_after)}'
    return answer
