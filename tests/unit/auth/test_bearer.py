import pytest

from app.auth.bearer import authenticate
from app.auth.tokens import Token, TokenKind, make_token
from app.errors import Unauthorized

TOKENS = (
    make_token(TokenKind.BEARER, "first-token-of-two"),
    make_token(TokenKind.API, "zweiter-Schlüssel"),
)


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER", b"Bearer "])
def test_each_token_is_recognized(scheme: bytes, token: Token) -> None:
    """All tokens are valid, non-ASCII ones too, and the scheme's case doesn't matter."""
    assert authenticate(scheme + b" " + token.secret, TOKENS) is token


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer wrong",
        b"Bearer first-token-of-tw",
        b"Bearer first-token-of-two2",
        b"Bearer FIRST-TOKEN-OF-TWO",
        b"Bearer first-token-of-two zweiter",
        b"Basic first-token-of-two",
        b"first-token-of-two",
        b"Bearer\tfirst-token-of-two",
        "Bearer Schlüssel".encode(),
        b"Bearer \xff\xfe\x00",
    ],
)
def test_anything_else_is_refused(header: bytes | None) -> None:
    """No header, another scheme or another token is Unauthorized, never another exception."""
    with pytest.raises(Unauthorized) as caught:
        authenticate(header, TOKENS)
    assert "first-token" not in str(caught.value)


def test_without_tokens_nothing_opens() -> None:
    """An empty list of tokens lets nobody in."""
    with pytest.raises(Unauthorized):
        authenticate(b"Bearer anything", ())
