"""Logs who did what on the inbox page."""

import logging

from app.auth.tokens import Token
from app.web.request_context import current_request

_log = logging.getLogger(__name__)


def note(what: str, **members: object) -> None:
    """Log that something was done with the token of the session."""
    note_login(what, current_request().token, **members)


def note_login(what: str, token: Token | None, **members: object) -> None:
    """Log that something was done with `token`, None if it isn't valid."""
    fingerprint = token.fingerprint if token else None
    client = current_request().client
    _log.info("%s", what, extra={"token": fingerprint, "client": client, **members})
