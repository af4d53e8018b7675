"""The rate limit, applied before the token is checked, so that guessing tokens is limited too."""

import math
from typing import TYPE_CHECKING

from flask import Response

from app.auth.tokens import TokenKind
from app.errors import RateLimited
from app.ratelimit.client import Claims, client_of
from app.ratelimit.limit import Limit
from app.services import Services
from app.web.inbound import RULES
from app.web.request_context import RequestContext, current_request, current_services

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def take_token(context: RequestContext, environ: "WSGIEnvironment", services: Services) -> None:
    """Limit every request except those for public routes; unknown paths count too.

    Raises RateLimited.
    """
    if context.is_public:
        return
    client = context.client = _client(context, environ, services)
    limit = _limit(context, services)
    if limit is None:
        return
    context.decision = limit.take(client)
    if not context.decision.allowed:
        raise RateLimited(context.decision.retry_after_us / 1_000_000)


def _limit(context: RequestContext, services: Services) -> Limit | None:
    # The route decides, not the token: while the bucket is empty, the right guess of a token must
    # look like any other guess.
    return services.api_limit if context.needed_kind is TokenKind.API else services.limit


def client_of_request(environ: "WSGIEnvironment") -> str:
    """Return whose bucket the request takes its token from."""
    return _client(current_request(), environ, current_services())


def _client(context: RequestContext, environ: "WSGIEnvironment", services: Services) -> str:
    # Only a relay may name its client: others could choose their bucket that way.
    is_of_relay = context.rule in RULES
    claims = Claims(
        environ.get("HTTP_X_ORIGINAL_CLIENT_ADDRESS") if is_of_relay else None,
        environ.get("HTTP_X_FORWARDED_FOR"),
        environ.get("HTTP_X_REAL_IP"),
    )
    return client_of(environ.get("REMOTE_ADDR", ""), claims, services.trusted_proxies)


def add_headers(context: RequestContext, services: Services, answer: Response) -> None:
    """Tell the client what is left in its bucket, unless the route is public."""
    decision, limit = context.decision, _limit(context, services)
    if decision is None or limit is None:
        return
    add = answer.headers.add  # faster than setting, which searches
    full_after = decision.full_after_us / 1_000_000
    add("X-RateLimit-Limit", str(limit.per_minute))
    add("X-RateLimit-Remaining", str(decision.remaining))
    add("X-RateLimit-Reset", str(math.ceil(services.clock().timestamp() + full_after)))
    # draft-ietf-httpapi-ratelimit-headers-10
    add("RateLimit-Policy", f'"minute";q={limit.per_minute};w=60;burst={limit.burst}')
    add("RateLimit", f'"minute";r={decision.remaining};t={math.ceil(full_after)}')
