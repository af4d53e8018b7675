"""Tokens that are long enough not to cause a warning."""

from app.auth.tokens import TokenKind, make_token

TOKEN = "the-token-of-all-tests-that-have-one"
OTHER_TOKEN = "another-token-than-that-of-the-tests"
API_TOKEN = "the-token-of-tests-that-read-messages"

TOKENS = (make_token(TokenKind.BEARER, TOKEN), make_token(TokenKind.API, API_TOKEN))
"""The tokens of an application, one of each kind."""
