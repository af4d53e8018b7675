"""Who may use a route: whoever shows a bearer token, unless the route is declared public.

A route that says nothing is closed, so that none is left open by forgetting.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, current_app, request

from app.auth.bearer import authenticate
from app.web.request_context import current_request, current_services

View = TypeVar("View", bound=Callable[..., Any])

_MARK = "_is_public"


def public(view: View) -> View:
    """Let anybody use the routes of `view`, as often as they like."""
    setattr(view, _MARK, True)
    return view


def is_public(endpoint: str | None) -> bool:
    """Tell whether the view of `endpoint` is declared public; what matches nothing isn't."""
    return getattr(current_app.view_functions.get(endpoint or ""), _MARK, False)


def register(app: Flask) -> None:
    """Ask for a token on every route of `app` that isn't public, whatever the method."""
    app.before_request(_require_token)


def _require_token() -> None:
    # Without a route there is nothing to guard: 404 and 405 follow.
    if request.url_rule is not None and not current_request().is_public:
        given: str | None = request.environ.get("HTTP_AUTHORIZATION")
        # As WSGI has decoded it (PEP 3333).
        token = None if given is None else given.encode("latin-1")
        authenticate(token, current_services().bearer_tokens)
