"""Authenticates requests by their bearer token (RFC 6750 section 2.1)."""

import hmac
from collections.abc import Sequence

from app.auth.tokens import Token
from app.errors import Unauthorized


def authenticate(authorization: bytes | None, tokens: Sequence[Token]) -> Token:
    """Return the token that the Authorization header carries.

    Raises Unauthorized unless it is one of `tokens`. The time this takes doesn't reveal which
    token, or how much of it, was right.
    """
    if authorization is None:
        raise Unauthorized("The header 'Authorization: Bearer TOKEN' is missing.")
    scheme, _, given = authorization.partition(b" ")
    if scheme.lower() != b"bearer":
        raise Unauthorized("The Authorization header must read 'Bearer TOKEN'.")
    token = find_token(given.strip(), tokens)
    if token is None:
        raise Unauthorized("The token is not valid.")
    return token


def find_token(given: bytes, tokens: Sequence[Token]) -> Token | None:
    """Return the one of `tokens` that is `given`, None if there is none; in constant time."""
    # Every token is compared, so that the position of the right one can't be measured.
    matching = [token for token in tokens if hmac.compare_digest(given, token.secret)]
    return matching[0] if matching else None
