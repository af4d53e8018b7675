"""Logging in and out."""

import math
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlencode

from flask import Response, request
from marshmallow import fields, validate

from app.auth.bearer import find_token
from app.auth.session import SESSION_SECONDS, expires_at, new_session
from app.auth.tokens import Token, TokenKind
from app.errors import Unauthorized
from app.web.inbox import audit
from app.web.inbox.blueprint import blueprint
from app.web.inbox.form import filled, load_form
from app.web.inbox.guards import COOKIE, anyone, current_session, logged_in
from app.web.inbox.rendering import render, see_other
from app.web.inbox.scheme import is_https
from app.web.parameters import LONGEST_TEXT, NoParameters, load
from app.web.problems import problem
from app.web.request_context import current_inbox, current_request, current_services

LONGEST_TOKEN = 4096
_PATH = "/inbox"
_LOGIN = "/inbox/login"
# Nothing that a browser could take for another host, and nothing that ends a header.
_OWN_PATH = re.compile(r"/inbox(?:[/?][!-\[\]-~]*)?")

_NOTHING_TYPED = "Type an api_token."
_INVALID = "This is not a valid api_token."
_OTHER_KIND = "This is a bearer_token, which only delivers messages. Log in with an api_token."


class _NextParameters(NoParameters):
    """Where to go after logging in."""

    next = fields.String(validate=validate.Length(max=LONGEST_TEXT))


class _LoginForm(_NextParameters):
    """The form of the login page."""

    token = fields.String(load_default="", validate=validate.Length(max=LONGEST_TOKEN))


_NEXT = _NextParameters()
_FORM = _LoginForm()


@blueprint.get(_LOGIN)
@anyone
def login_page() -> Response:
    """Show the form that asks for an api_token; who is logged in goes on to `next`.

    Returns:
    - 200, or 303
    - 400 `bad_request` for an unknown parameter
    - 403 `forbidden` for a host that isn't allowed
    - 429 `rate_limited`
    - 503 `shutting_down`, `storage_unavailable`
    """
    given = load(_NEXT, filled(request.args), "Some parameters in the query string are wrong.")
    if current_session() is not None:
        return see_other(_next(given))
    return _form(given, 200)


@blueprint.post(_LOGIN)
@anyone
def log_in() -> Response:
    """Start a session with an api_token.

    Returns:
    - 303 to `next`, with the session's cookie
    - 400, 403, 503 as for the form; 403 also for a request from another site
    - 401 `unauthorized` if the token isn't a valid api_token
    - 415 `unsupported_media_type` if it isn't a form
    - 429 `rate_limited`, also after 10 failed logins of the client in a minute
    """
    given = load_form(_FORM)
    # Taken first, and given back after a success, so that attempts at the same moment count, too.
    limit, client = current_inbox().login_limit, str(current_request().client)
    decision = limit.take(client)
    if not decision.allowed:
        audit.note_login("Login to the inbox page refused: too many failed ones", None)
        return _limited(given, decision.retry_after_us / 1_000_000)
    token = find_token(given["token"].encode(), current_services().tokens)
    if token is None or token.kind is not TokenKind.API:
        return _failed(given, token)
    limit.give_back(client)
    return _succeeded(given, token)


@blueprint.post("/inbox/logout")
@logged_in
def log_out() -> Response:
    """End the session, on all devices that have its cookie.

    Returns:
    - 303 to the login page
    - 403 `forbidden` for a request from another site
    - 429 `rate_limited`
    - 503 `shutting_down`, `storage_unavailable`
    """
    session = current_session()
    if session is not None:
        now = current_services().clock().timestamp()
        current_inbox().ended_sessions.end(session.id, expires_at(session.id), now)
        audit.note("Logged out of the inbox page")
    answer = see_other(_LOGIN)
    answer.delete_cookie(COOKIE, path=_PATH, httponly=True, samesite="Strict")
    return answer


@blueprint.errorhandler(Unauthorized)
def ask_to_log_in(error: Unauthorized) -> Response:
    """Redirect people to the login page, and from there to where they wanted to go."""
    if not current_request().is_page:
        answer = problem(error.code, str(error))
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer
    wanted = _PATH
    if request.method in {"GET", "HEAD"}:
        query = request.query_string.decode("latin-1")
        wanted = quote(request.path) + (f"?{query}" if query else "")
    is_more = wanted != _PATH and len(wanted) <= LONGEST_TEXT and _OWN_PATH.fullmatch(wanted)
    return see_other(f"{_LOGIN}?{urlencode({'next': wanted})}" if is_more else _LOGIN)


def _form(given: Mapping[str, Any], status: int, fault: str | None = None) -> Response:
    # A link on another site opens the page without the cookie (SameSite); one on this page has it.
    is_linked = request.headers.get("Sec-Fetch-Site") == "cross-site" and request.method == "GET"
    return render("login.html", status, next=_next(given), fault=fault, is_linked=is_linked)


def _next(given: Mapping[str, Any]) -> str:
    wanted = str(given.get("next", _PATH))
    path = unquote(wanted.partition("?")[0])
    # A browser would resolve /inbox/../messages, also with %2e for a dot.
    return wanted if _OWN_PATH.fullmatch(wanted) and "/." not in path else _PATH


def _failed(given: Mapping[str, Any], token: Token | None) -> Response:
    audit.note_login("Login to the inbox page failed", token)
    current_request().code, current_request().detail = "unauthorized", "The login failed."
    fault = _INVALID if token is None else _OTHER_KIND
    answer = _form(given, 401, fault if given["token"] else _NOTHING_TYPED)
    answer.headers["WWW-Authenticate"] = "Bearer"  # RFC 9110 requires the header
    return answer


def _limited(given: Mapping[str, Any], seconds: float) -> Response:
    current_request().code, current_request().detail = "rate_limited", "Too many failed logins."
    wait = math.ceil(seconds)
    answer = _form(given, 429, f"Too many failed logins: try again in {wait} seconds.")
    answer.headers["Retry-After"] = str(wait)
    return answer


def _succeeded(given: Mapping[str, Any], token: Token) -> Response:
    audit.note_login("Logged in to the inbox page", token)
    answer = see_other(_next(given))
    answer.set_cookie(
        COOKIE,
        new_session(token, current_services().clock()),
        max_age=SESSION_SECONDS,
        path=_PATH,
        secure=is_https(),
        httponly=True,
        samesite="Strict",
    )
    return answer
