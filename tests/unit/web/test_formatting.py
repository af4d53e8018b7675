"""How values appear on the inbox page."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html

from app.web.inbox.formatting import linked, moment, one_line, size, visible

PIECES = [
    "https://",
    "http:",
    "//",
    "a.example",
    '"',
    "'",
    "<",
    ">",
    "&",
    "onclick=",
    " ",
    ".",
    "\\",
]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1049, "1.0 kB"),
        (99_949, "99.9 kB"),
        (99_951, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (26_214_400, "26.2 MB"),
        (10**12, "1.0 TB"),
        (5 * 10**18, "5000 PB"),
    ],
)
def test_sizes_are_for_people(number: int, text: str) -> None:
    """Three digits at most, in powers of 1,000."""
    assert size(number) == text


def test_a_time_is_in_utc_and_for_programs_too() -> None:
    """To the second; no time is nothing."""
    at = datetime(2026, 3, 1, 12, 0, 5, 123_000, tzinfo=UTC)
    expected = '<time datetime="2026-03-01T12:00:05+00:00">2026-03-01 12:00:05 UTC</time>'
    assert moment(at) == expected
    assert moment(None) == ""


def test_one_line_is_one_line() -> None:
    """Without what can't be seen; where nothing is left, there is another text."""
    assert one_line("a\r\nb\u202ec\x1b") == "a  bc"
    assert one_line(" \u200b ", "(no subject)") == "(no subject)"
    assert one_line("\U0001f468\u200d\U0001f469 a") == "\U0001f468\u200d\U0001f469 a"


def test_what_cannot_be_seen_is_written_out() -> None:
    """In a text of several lines, which stay."""
    assert visible("a\u202e\r\nb\tc\x00") == "a\\u202e\nb       c\\x00"


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("see https://example.org/a?b=c&d=e#f.", ["https://example.org/a?b=c&d=e#f"]),
        ("(http://example.com)", ["http://example.com"]),
        (
            "<https://example.com/x>, <http://y.example>",
            ["https://example.com/x", "http://y.example"],
        ),
        ('"https://example.com/"onclick=x', ["https://example.com/"]),
        ("javascript:alert(1) ftp://a.example data:text/html,x //a.example", []),
        ("https:// http://", []),
    ],
)
def test_web_addresses_are_links(text: str, urls: list[str]) -> None:
    """Those of the web alone, without what ends a sentence; the text stays as it is."""
    document = html.fragment_fromstring(linked(text), create_parent="pre")
    assert [each.get("href") for each in document.iter("a")] == urls
    assert document.text_content() == text


@given(st.text() | st.lists(st.sampled_from(PIECES)).map("".join))
def test_no_text_becomes_anything_but_text_and_links(text: str) -> None:
    """Whatever stands in it."""
    shown = linked(text)
    assert "<" not in shown.replace("<a href=", "").replace("</a>", "")
    assert shown.count("<a href=") == shown.count("</a>")


@pytest.mark.parametrize("piece", ["https://", "https://a.", "http", "https://a!?.,;", "h", "<"])
def test_no_text_takes_long(piece: str) -> None:
    """A page shows up to 256 KiB of it."""
    before = time.process_time()
    linked(piece * (256 * 1024 // len(piece)))
    assert time.process_time() - before < 2
