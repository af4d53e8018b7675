"""Cursors that were made for a store are parsed, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadRequest
from app.reading.cursor import make_cursor, parse_cursor

STORE, OTHER = b"12345678", b"12345679"


@given(st.integers(0, 2**63 - 1), st.binary(min_size=8, max_size=8))
def test_a_cursor_brings_back_its_number(number: int, store: bytes) -> None:
    """It can be used in a URL without quoting."""
    cursor = make_cursor(store, number)
    assert parse_cursor(cursor, store) == number
    assert cursor.replace("-", "").replace("_", "").isalnum()


def test_a_cursor_from_another_store_is_refused() -> None:
    """Its number is meaningless in this store."""
    with pytest.raises(BadRequest, match="another store"):
        parse_cursor(make_cursor(OTHER, 1), STORE)


@pytest.mark.parametrize(
    "text", ["", "x", "1", "é", "\0", "A" * 10_000, make_cursor(STORE, 1) + "=", "AQ==", "A A"]
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    """The error says where to get a valid one."""
    with pytest.raises(BadRequest, match="next"):
        parse_cursor(text, STORE)


@given(st.text())
def test_nothing_else_is_raised(text: str) -> None:
    """Any text is refused with BadRequest."""
    with pytest.raises(BadRequest):
        parse_cursor(text, STORE)


def test_a_cursor_has_only_one_spelling() -> None:
    """The unused bits of Base64 must be zero."""
    cursor = make_cursor(STORE, 1)
    changed = cursor[:-1] + chr(ord(cursor[-1]) + 1)
    with pytest.raises(BadRequest):
        parse_cursor(changed, STORE)
