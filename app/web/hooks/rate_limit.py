"""The rate limit, applied before the token is checked, so that guessing tokens is limited too."""

import math
from typing import TYPE_CHECKING

from flask import Flask, Response, request

from app.auth.tokens import TokenKind
from app.errors import RateLimited
from app.ratelimit.client import Claims, client_of
from app.ratelimit.limit import Limit
from app.web.inbound import RULES
from app.web.request_context import current_request, current_services

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def register(app: Flask) -> None:
    """Limit every request of `app` except those for public routes; unknown paths count too."""
    app.before_request(_take_token)
    app.after_request(_add_headers)


def _take_token() -> None:
    context = current_request()
    if context.is_public:
        return
    client = context.client = client_of_request(request.environ)
    limit = _limit()
    if limit is None:
        return
    context.decision = limit.take(client)
    if not context.decision.allowed:
        raise RateLimited(context.decision.retry_after_us / 1_000_000)


def _limit() -> Limit | None:
    # The route decides, not the token: while the bucket is empty, the right guess of a token must
    # look like any other guess.
    services, context = current_services(), current_request()
    return services.api_limit if context.needed_kind is TokenKind.API else services.limit


def client_of_request(environ: "WSGIEnvironment") -> str:
    """Return whose bucket the request takes its token from."""
    peer, trusted = environ.get("REMOTE_ADDR", ""), current_services().trusted_proxies
    return client_of(peer, _claims(environ), trusted)


def _claims(environ: "WSGIEnvironment") -> Claims:
    # Only a relay may name its client: others could choose their bucket that way.
    is_of_relay = current_request().rule in RULES
    return Claims(
        environ.get("HTTP_X_ORIGINAL_CLIENT_ADDRESS") if is_of_relay else None,
        environ.get("HTTP_X_FORWARDED_FOR"),
        environ.get("HTTP_X_REAL_IP"),
    )


def _add_headers(answer: Response) -> Response:
    decision, limit = current_request().decision, _limit()
    if decision is None or limit is None:
        return answer
    services, add = current_services(), answer.headers.add  # faster than setting, which searches
    full_after = decision.full_after_us / 1_000_000
    add("X-RateLimit-Limit", str(limit.per_minute))
    add("X-RateLimit-Remaining", str(decision.remaining))
    add("X-RateLimit-Reset", str(math.ceil(services.clock().timestamp() + full_after)))
    # draft-ietf-httpapi-ratelimit-headers-10
    add("RateLimit-Policy", f'"minute";q={limit.per_minute};w=60;burst={limit.burst}')
    add("RateLimit", f'"minute";r={decision.remaining};t={math.ceil(full_after)}')
    return answer
