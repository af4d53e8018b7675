"""Controls access to routes: each is public, or declares which kind of token it needs.

A route that declares nothing refuses every token, so none is left open by mistake.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Request, current_app, request

from app.auth import bearer
from app.auth.tokens import Token, TokenKind
from app.errors import Forbidden
from app.web.header_bytes import header_bytes
from app.web.request_context import RequestContext, current_services

View = TypeVar("View", bound=Callable[..., Any])

Authenticate = Callable[[], Token | None]

_PUBLIC = "_is_public"
_KIND = "_token_kind"
_AUTHENTICATE = "_authenticate"
_PAGE = "_is_page"

_REFUSALS = {
    TokenKind.API: "This route needs a bearer_token, and the request has an api_token, which only"
    " reads and manages messages.",
    TokenKind.BEARER: "This route needs an api_token, and the request has a bearer_token, which"
    " only delivers messages.",
}


def public(view: View) -> View:
    """Let anyone use the routes of `view`, without a rate limit."""
    setattr(view, _PUBLIC, True)
    return view


def needs(kind: TokenKind, authenticate: Authenticate | None = None) -> Callable[[View], View]:
    """Let clients with a token of `kind` use the routes of a view, within its rate limit.

    The token is that of the Authorization header, or what `authenticate` returns; it may return
    None for a view that anyone may use within the limit. Write this decorator below that of the
    route, like `public`.
    """

    def declare(view: View) -> View:
        setattr(view, _KIND, kind)
        setattr(view, _AUTHENTICATE, authenticate or _authorized)
        return view

    return declare


def page(view: View) -> View:
    """Declare that people read the answers of `view`, so that its errors are pages, too."""
    setattr(view, _PAGE, True)
    return view


def is_public(endpoint: str) -> bool:
    """Return whether the view of `endpoint` is public."""
    return getattr(current_app.view_functions[endpoint], _PUBLIC, False)


def needed_kind(endpoint: str) -> TokenKind | None:
    """Return the kind of token that the view of `endpoint` needs, None if it declares none."""
    return getattr(current_app.view_functions[endpoint], _KIND, None)


def is_page(endpoint: str) -> bool:
    """Return whether people read the answers of the view of `endpoint`."""
    return getattr(current_app.view_functions[endpoint], _PAGE, False)


def require_token(context: RequestContext, current: Request) -> None:
    """Require a token for every route that isn't public, for every method.

    Raises Unauthorized, Forbidden.
    """
    # Without a route there is nothing to protect: 404 or 405 follows.
    if current.url_rule is None or context.is_public:
        return
    view = current_app.view_functions[current.url_rule.endpoint]
    authenticate: Authenticate = getattr(view, _AUTHENTICATE, _authorized)
    token = context.token = authenticate()
    if token is not None and token.kind is not context.needed_kind:
        raise Forbidden(_REFUSALS[token.kind])


def _authorized() -> Token:
    authorization = header_bytes(request.environ, "HTTP_AUTHORIZATION")
    return bearer.authenticate(authorization, current_services().tokens)
