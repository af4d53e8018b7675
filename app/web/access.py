"""Who may use a route: clients with a bearer token, unless the route is declared public.

Routes are closed by default, so that none is left open by mistake.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, current_app, request

from app.auth.bearer import authenticate
from app.web.header_bytes import header_bytes
from app.web.request_context import current_request, current_services

View = TypeVar("View", bound=Callable[..., Any])

_MARK = "_is_public"


def public(view: View) -> View:
    """Let anyone use the routes of `view`, without a rate limit."""
    setattr(view, _MARK, True)
    return view


def is_public(endpoint: str | None) -> bool:
    """Return whether the view of `endpoint` is declared public; no endpoint is not public."""
    return getattr(current_app.view_functions.get(endpoint or ""), _MARK, False)


def register(app: Flask) -> None:
    """Require a token for every route of `app` that isn't public, for every method."""
    app.before_request(_require_token)


def _require_token() -> None:
    # Without a route there is nothing to protect: 404 or 405 follows.
    if request.url_rule is not None and not current_request().is_public:
        token = header_bytes(request.environ, "HTTP_AUTHORIZATION")
        authenticate(token, current_services().bearer_tokens)
