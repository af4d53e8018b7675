"""The rate limit, taken before anything else so that guessing tokens is limited too."""

import math
from typing import TYPE_CHECKING

from flask import Flask, Response, g, request

from app.errors import RateLimited
from app.ratelimit.client import Claims, client_of
from app.ratelimit.token_bucket import Decision
from app.web import inbound
from app.web.current import current_services

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_LIMITED_PATHS = frozenset(inbound.PATHS)


def register(app: Flask) -> None:
    """Limit the inbound routes of `app`, whatever the method."""
    app.before_request(_take_token)
    app.after_request(_add_headers)


def _take_token() -> None:
    environ = request.environ
    services = current_services()
    if services.limiter is None or environ["PATH_INFO"] not in _LIMITED_PATHS:
        return
    peer = environ.get("REMOTE_ADDR", "")
    client = client_of(peer, _claims(environ), services.rate_limit.trusted_proxies)
    g.decision = services.limiter.take(client)
    if not g.decision.allowed:
        raise RateLimited(g.decision.retry_after_us / 1_000_000)


def _claims(environ: "WSGIEnvironment") -> Claims:
    return Claims(
        environ.get("HTTP_X_ORIGINAL_CLIENT_ADDRESS"),
        environ.get("HTTP_X_FORWARDED_FOR"),
        environ.get("HTTP_X_REAL_IP"),
    )


def _add_headers(answer: Response) -> Response:
    decision: Decision | None = g.get("decision")
    if decision is None:
        return answer
    services, add = current_services(), answer.headers.add  # unlike setting, it searches nothing
    full_after = decision.full_after_us / 1_000_000
    per_minute = services.rate_limit.per_minute
    add("X-RateLimit-Limit", str(per_minute))
    add("X-RateLimit-Remaining", str(decision.remaining))
    add("X-RateLimit-Reset", str(math.ceil(services.clock().timestamp() + full_after)))
    # draft-ietf-httpapi-ratelimit-headers-10
    add("RateLimit-Policy", f'"minute";q={per_minute};w=60')
    add("RateLimit", f'"minute";r={decision.remaining};t={math.ceil(full_after)}')
    return answer
