"""Who may use the routes of the inbox page: decorators for its views, below that of the route.

The session's cookie is read here and nowhere else, so the API accepts no cookie.
"""

from flask import request

from app.auth.allowed_hosts import is_allowed
from app.auth.same_origin import is_same_origin
from app.auth.session import Session, find_session
from app.auth.tokens import Token, TokenKind
from app.errors import Forbidden, Unauthorized
from app.printable import readable
from app.web.access import View, needs, page
from app.web.request_context import current_inbox, current_services

COOKIE = "gomail_session"

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def logged_in(view: View) -> View:
    """Let people who are logged in use `view`; others are redirected to the login page."""
    return page(needs(TokenKind.API, _session_token)(view))


def logged_in_script(view: View) -> View:
    """Let scripts of pages use `view`, whose errors are problem documents, with the session."""
    return needs(TokenKind.API, _session_token)(view)


def anyone(view: View) -> View:
    """Let people use `view` who may not be logged in, within the rate limit of the API."""
    return page(needs(TokenKind.API, _no_token)(view))


def current_session() -> Session | None:
    """Return the session of the request's cookie, None without one or if it has ended."""
    services, ended = current_services(), current_inbox().ended_sessions
    session = find_session(request.cookies.get(COOKIE, ""), services.tokens, services.clock())
    return None if session is None or session.id in ended else session


def _session_token() -> Token:
    _check_request()
    session = current_session()
    if session is None:
        raise Unauthorized("You are not logged in, or your session has ended.")
    return session.token


def _no_token() -> None:
    _check_request()


def _check_request() -> None:
    """Raise Forbidden if another site may have sent the request."""
    host = request.environ.get("HTTP_HOST")
    if not is_allowed(host, current_inbox().hosts):
        raise Forbidden(
            f"The inbox page is not served under the host {readable(host or '')[:100]!r}. If this"
            " is your server's name, add it to allowed_hosts in its configuration."
        )
    fetch_site, origin = (request.headers.get(name) for name in ("Sec-Fetch-Site", "Origin"))
    if request.method not in _SAFE_METHODS and not is_same_origin(fetch_site, origin, host):
        raise Forbidden("The request does not come from the inbox page itself: nothing was done.")
