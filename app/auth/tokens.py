"""The two kinds of token: one only delivers messages, the other only reads and manages them."""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum


class TokenKind(StrEnum):
    """What a token permits; the value is the name of its setting.

    BEARER permits delivering messages, API permits reading and deleting stored ones.
    """

    BEARER = "bearer_token"
    API = "api_token"


@dataclass(frozen=True)
class Token:
    """A valid token.

    `fingerprint` identifies it in the log, and tells nothing useful about a long random secret.
    """

    kind: TokenKind
    secret: bytes = field(repr=False)
    fingerprint: str


def make_token(kind: TokenKind, text: str) -> Token:
    """Return a token; its fingerprint is the first 8 digits of `printf %s TOKEN | sha256sum`."""
    secret = text.encode()
    return Token(kind, secret, hashlib.sha256(secret).hexdigest()[:8])
