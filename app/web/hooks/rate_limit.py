"""The rate limit, applied before the token is checked, so that guessing tokens is limited too."""

import math
from typing import TYPE_CHECKING

from flask import Flask, Response, request

from app.errors import RateLimited
from app.ratelimit.client import Claims, client_of
from app.web.request_context import current_request, current_services

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def register(app: Flask) -> None:
    """Limit every request of `app` except those for public routes; unknown paths count too."""
    app.before_request(_take_token)
    app.after_request(_add_headers)


def _take_token() -> None:
    services, context = current_services(), current_request()
    if context.is_public:
        return
    client = context.client = client_of_request(request.environ)
    if services.limiter is None:
        return
    context.decision = services.limiter.take(client)
    if not context.decision.allowed:
        raise RateLimited(context.decision.retry_after_us / 1_000_000)


def client_of_request(environ: "WSGIEnvironment") -> str:
    """Return whose bucket the request takes its token from."""
    peer, trusted = environ.get("REMOTE_ADDR", ""), current_services().rate_limit.trusted_proxies
    return client_of(peer, _claims(environ), trusted)


def _claims(environ: "WSGIEnvironment") -> Claims:
    return Claims(
        environ.get("HTTP_X_ORIGINAL_CLIENT_ADDRESS"),
        environ.get("HTTP_X_FORWARDED_FOR"),
        environ.get("HTTP_X_REAL_IP"),
    )


def _add_headers(answer: Response) -> Response:
    decision = current_request().decision
    if decision is None:
        return answer
    services, add = current_services(), answer.headers.add  # faster than setting, which searches
    full_after = decision.full_after_us / 1_000_000
    per_minute = services.rate_limit.per_minute
    add("X-RateLimit-Limit", str(per_minute))
    add("X-RateLimit-Remaining", str(decision.remaining))
    add("X-RateLimit-Reset", str(math.ceil(services.clock().timestamp() + full_after)))
    # draft-ietf-httpapi-ratelimit-headers-10
    add("RateLimit-Policy", f'"minute";q={per_minute};w=60;burst={services.rate_limit.burst}')
    add("RateLimit", f'"minute";r={decision.remaining};t={math.ceil(full_after)}')
    return answer
