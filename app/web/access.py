"""Controls access to routes: each is public, or declares which kind of token it needs.

A route that declares nothing refuses every token, so none is left open by mistake.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from flask import Request

from app.auth import bearer
from app.auth.tokens import Token, TokenKind
from app.errors import Forbidden
from app.web.header_bytes import header_bytes
from app.web.request_context import RequestContext

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
        setattr(view, _AUTHENTICATE, authenticate)
        return view

    return declare


def page(view: View) -> View:
    """Declare that people read the answers of `view`, so that its errors are pages, too."""
    setattr(view, _PAGE, True)
    return view


def is_public(view: Callable[..., Any]) -> bool:
    """Return whether `view` is public."""
    return getattr(view, _PUBLIC, False)


def needed_kind(view: Callable[..., Any]) -> TokenKind | None:
    """Return the kind of token that `view` needs, None if it declares none."""
    return getattr(view, _KIND, None)


def is_page(view: Callable[..., Any]) -> bool:
    """Return whether people read the answers of `view`."""
    return getattr(view, _PAGE, False)


def require_token(
    context: RequestContext, request: Request, view: Callable[..., Any], tokens: Sequence[Token]
) -> None:
    """Require one of `tokens` for every view that isn't public, for every method.

    Raises Unauthorized, Forbidden.
    """
    if context.is_public:
        return
    authenticate: Authenticate | None = getattr(view, _AUTHENTICATE, None)
    if authenticate is None:
        authorization = header_bytes(request.environ, "HTTP_AUTHORIZATION")
        token: Token | None = bearer.authenticate(authorization, tokens)
    else:
        token = authenticate()
    context.token = token
    if token is not None and token.kind is not context.needed_kind:
        raise Forbidden(_REFUSALS[token.kind])
