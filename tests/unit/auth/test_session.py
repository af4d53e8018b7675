"""Sessions of the inbox page: signed with their token, and ended with it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tokens import API_TOKEN, TOKENS

from app.auth.session import SESSION_SECONDS, expires_at, find_session, new_session
from app.auth.tokens import TokenKind, make_token

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BEARER, API = TOKENS
OTHER = make_token(TokenKind.API, "another-api-token-than-the-first-one")


def test_a_session_is_that_of_its_token() -> None:
    """Whatever other tokens there are, and in whatever order."""
    for token in (API, OTHER):
        cookie = new_session(token, NOW)
        for tokens in ((API, OTHER), (OTHER, BEARER, API)):
            session = find_session(cookie, tokens, NOW)
            assert session is not None
            assert session.token == token


def test_a_session_ends_with_its_token() -> None:
    """Once the token is taken out, the cookie is worth nothing; put in again, it counts again."""
    cookie = new_session(API, NOW)
    assert find_session(cookie, (OTHER, BEARER), NOW) is None
    assert find_session(cookie, (), NOW) is None
    assert find_session(cookie, (make_token(TokenKind.API, API_TOKEN),), NOW) is not None


def test_a_bearer_token_signs_no_session() -> None:
    """Though the text of a token be the same, one that only delivers opens no inbox."""
    cookie = new_session(API, NOW)
    assert find_session(cookie, (make_token(TokenKind.BEARER, API_TOKEN),), NOW) is None


def test_a_session_lasts_twelve_hours() -> None:
    """To the second."""
    cookie = new_session(API, NOW)
    assert SESSION_SECONDS == 12 * 3600
    last = NOW + timedelta(seconds=SESSION_SECONDS)
    session = find_session(cookie, (API,), last - timedelta(seconds=1))
    assert session is not None
    assert expires_at(session.id) == last.timestamp()
    assert find_session(cookie, (API,), last) is None


def test_a_cookie_that_is_changed_is_refused() -> None:
    """Any character of it: its end can't be put off, and no signature fits another session."""
    cookie = new_session(API, NOW)
    expires, nonce, signature = cookie.split(".")
    other = new_session(API, NOW).split(".")
    changed = [
        f"{int(expires) + 1}.{nonce}.{signature}",
        f"0{expires}.{nonce}.{signature}",
        f"{expires}.{other[1]}.{signature}",
        f"{expires}.{nonce}.{other[2]}",
        f"{expires}.{nonce}.{signature[:-1]}",
        f"{expires}.{nonce}.",
        f"{expires}.{nonce}",
        f"{cookie}\n",
        f"{cookie} ",
        f"{cookie}.",
        "",
        API_TOKEN,
    ]
    for each in changed:
        assert find_session(each, TOKENS, NOW) is None, each


@given(st.text())
def test_no_text_opens_a_session(text: str) -> None:
    """Whatever stands in the cookie, nothing is raised."""
    assert find_session(text, TOKENS, NOW) is None


def test_a_session_tells_nothing_about_its_token() -> None:
    """Two sessions of one token have nothing in common but their end."""
    first, second = new_session(API, NOW), new_session(API, NOW)
    assert first.split(".")[0] == second.split(".")[0]
    assert set(first.split(".")[1:]).isdisjoint(second.split(".")[1:])
    assert API_TOKEN not in first


@pytest.mark.parametrize("digits", ["٣", "³"])
def test_only_ascii_digits_count(digits: str) -> None:
    """What `int` would read, too."""
    cookie = new_session(API, NOW)
    assert find_session(digits + cookie[1:], TOKENS, NOW) is None
