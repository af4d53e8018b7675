import hashlib

from app.auth.tokens import TokenKind, make_token

SECRET = "Schlüssel-that-nobody-may-see"


def test_a_fingerprint_is_what_sha256sum_prints_first() -> None:
    """So an operator can find out which token a log line means."""
    token = make_token(TokenKind.API, SECRET)
    assert token.fingerprint == hashlib.sha256(SECRET.encode()).hexdigest()[:8]
    assert token.fingerprint != make_token(TokenKind.API, f"{SECRET}2").fingerprint


def test_a_token_does_not_show_itself() -> None:
    """If a token gets into a traceback or a log line, its secret doesn't."""
    token = make_token(TokenKind.BEARER, SECRET)
    assert "that-nobody" not in repr(token)
    assert token.fingerprint in repr(token)
