"""The sessions of the inbox page: cookies that are signed with the token that has logged in.

The key is derived from the token, so sessions need no other secret. They are valid in every worker,
after a restart, and on every host with the same tokens, and they end with their token.
"""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from app.auth.tokens import Token, TokenKind

SESSION_SECONDS = 12 * 3600

_PURPOSE = b"gomail inbox session 1"
_COOKIE = re.compile(r"([0-9]{1,12}\.[\w-]{22})\.([\w-]{43})", re.ASCII)


class Session(NamedTuple):
    """A session that has not expired; `id` need not be kept secret."""

    token: Token
    id: str


def new_session(token: Token, now: datetime) -> str:
    """Return the value of the cookie of a session that lasts SESSION_SECONDS."""
    session_id = f"{int(now.timestamp()) + SESSION_SECONDS}.{secrets.token_urlsafe(16)}"
    return f"{session_id}.{_signature(token, session_id)}"


def find_session(cookie: str, tokens: Sequence[Token], now: datetime) -> Session | None:
    """Return the session of a cookie that one of the api_tokens has signed; None if it has ended.

    The time this takes doesn't reveal how much of a signature was right.
    """
    found = _COOKIE.fullmatch(cookie)
    if found is None:
        return None
    session_id, signature = found.groups()
    if expires_at(session_id) <= now.timestamp():
        return None
    api_tokens = [token for token in tokens if token.kind is TokenKind.API]
    signers = [
        token
        for token in api_tokens
        if hmac.compare_digest(signature, _signature(token, session_id))
    ]
    return Session(signers[0], session_id) if signers else None


def expires_at(session_id: str) -> int:
    """Return when a session expires, in seconds since the epoch."""
    return int(session_id.partition(".")[0])


def _signature(token: Token, session_id: str) -> str:
    key = hmac.digest(token.secret, _PURPOSE, hashlib.sha256)
    signature = hmac.digest(key, session_id.encode("ascii"), hashlib.sha256)
    return urlsafe_b64encode(signature).decode("ascii").rstrip("=")
