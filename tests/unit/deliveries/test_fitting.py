"""Payloads have at most 1 MiB: what is cut, in which order, and how that is told."""

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.processor_time import processor_seconds
from support.store import AT

from app.deliveries.fitting import MAX_BYTES
from app.deliveries.json_text import shortened, to_json
from app.deliveries.payload import message_payload
from app.storage.ids import new_message_id
from app.storage.message import Envelope, StoredMessage

MIB = 1024 * 1024
FLAGS = ("html_truncated", "text_truncated", "headers_truncated", "attachments_truncated")


def data(raw: bytes) -> dict[str, Any]:
    """Return the message in what is sent of `raw`, which must fit and almost fill its room."""
    envelope = Envelope("a@example.com", "b@example.com")
    stored = StoredMessage(1, new_message_id(AT), AT, envelope, "", len(raw), bytes(32))
    body = message_payload(stored, raw).body
    assert len(body) <= MAX_BYTES
    found: dict[str, Any] = json.loads(body)["data"]
    if any(found[flag] for flag in FLAGS):
        assert found["truncated"]
    return found


def flags(found: dict[str, Any]) -> list[str]:
    """Return which flags are set."""
    return [flag for flag in FLAGS if found[flag]]


def alternative(text: bytes, html: bytes, head: bytes = b"") -> bytes:
    """Return a message with both."""
    return (
        head + b"From: a@example.com\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text + b"\r\n"
        b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html + b"\r\n--b--\r\n"
    )


def test_html_is_cut_first() -> None:
    """As little as needed, and the text is whole."""
    found = data(alternative(b"text " * 1000, b"<p>html " * 130000))
    assert flags(found) == ["html_truncated"]
    assert found["text"] == "text " * 1000
    assert found["html"].startswith("<p>html <p>html ")
    assert len(found["html"]) > MAX_BYTES - 15000


def test_then_the_text_and_with_it_the_reply() -> None:
    """Which is the same text where none was found."""
    found = data(alternative(b"text " * 200000, b"<p>html"))
    assert flags(found) == ["html_truncated", "text_truncated"]
    assert found["html"] == ""
    assert found["text"] == found["reply"]["text"] != ""
    assert len(found["text"]) > MAX_BYTES / 2 - 2000


def test_a_reply_that_was_found_stays() -> None:
    """It is short, and what most applications want."""
    quoted = b"> quoted\r\n" * 110000
    text = b"Yes.\r\n\r\nOn Mon, 2 Mar 2026, Bob <bob@example.com> wrote:\r\n" + quoted
    found = data(alternative(text, b"<p>html"))
    assert "text_truncated" in flags(found)
    assert found["reply"] == {"text": "Yes.", "found": True}


def test_then_headers_from_the_last() -> None:
    """As where a subject takes the room, which is among them, too."""
    head = b"X-First: 1\r\nSubject: " + b"\x80" * 200_000 + b"\r\nX-Last: 1\r\n"
    found = data(alternative(b"text", b"<p>html", head))
    assert flags(found) == ["html_truncated", "text_truncated", "headers_truncated"]
    assert found["headers"] == [["X-First", "1"]]
    assert found["subject"] == "€" * 200_000
    assert found["from"] == [{"name": "", "address": "a@example.com"}]


def many_attachments(head: bytes, count: int = 990) -> bytes:
    parts = (b"--b\r\nContent-Type: image/png\r\n" + head + b"\r\nx\r\n" for _ in range(count))
    whole = b"From: a@example.com\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    return whole + b"".join(parts) + b"--b--\r\n"


NAMES = b"Content-Disposition: attachment; filename*=utf-8''" + b"%E2%82%AC" * 250 + b"\r\n"
IDS = b"Content-ID: <" + b"\x80" * 900 + b">\r\n"
HEADS: dict[str, bytes] = {
    "a subject": b"Subject: " + b"\x80" * 250_000 + b"\r\n\r\n",
    "a subject of quotes": b"Subject: " + b'"' * 250_000 + b"\r\n\r\n",
    "references": b"References: " + b"".join(b"<%x>" % n for n in range(36000)) + b"\r\n\r\n",
    "references and text": b"References: "
    + b"".join(b"<%x>" % n for n in range(36000))
    + b"\r\n\r\n"
    + b"\\" * MIB,
    "people": b"".join(
        name + b": " + b",".join(b"%x@b" % n for n in range(4000)) + b"\r\n"
        for name in (b"From", b"To", b"Cc", b"Reply-To")
    )
    + b"\r\n",
    "names of people": b"".join(
        name + b': "' + b"\x80" * 32000 + b'" <a@b.example>\r\n'
        for name in (b"From", b"To", b"Cc", b"Reply-To")
    )
    + b"\r\n",
    "controls": b"Subject: x\r\n\r\n" + b"\x01" * MIB,
    "backslashes": b"Subject: x\r\n\r\n" + b"\\" * MIB,
    "lines": b"Subject: x\r\n\r\n" + b"\n" * MIB,
    "attachments": many_attachments(NAMES + IDS),
}


@pytest.mark.parametrize("name", HEADS)
def test_whatever_takes_the_room_it_fits(name: str) -> None:
    """Soon, and what was cut is told."""
    raw = HEADS[name]
    assert data(raw)["parsed"]
    assert processor_seconds(lambda: data(raw), 1.5) < 1.5


def test_attachments_are_cut_when_their_names_alone_are_too_many() -> None:
    """The last ones are left out, and there is a flag of its own."""
    found = data(many_attachments(NAMES + IDS))
    assert flags(found)[-1] == "attachments_truncated"
    assert 0 < len(found["attachments"]) < 990


def test_no_room_is_left_unused() -> None:
    """What doesn't fit is cut to the byte, not thrown away."""
    raw = alternative(b"", b"\xe2\x82\xac" * 349_500)
    envelope = Envelope("a@example.com", "b@example.com")
    stored = StoredMessage(1, new_message_id(AT), AT, envelope, "", len(raw), bytes(32))
    assert MAX_BYTES - 8 < len(message_payload(stored, raw).body) <= MAX_BYTES


@given(st.text(st.sampled_from('a"\\\n\x01u0é€😀\ud800')), st.integers(0, 50))
def test_a_text_is_cut_between_characters(text: str, excess: int) -> None:
    """What is left is its beginning, and takes so much less room, but not much less than that."""
    whole = to_json(text)
    kept = shortened(text, excess)
    assert text.replace("\ud800", "\ufffd").startswith(kept)
    spared = len(whole) - len(to_json(kept))
    assert spared >= min(excess, len(whole) - 2)
    assert spared <= excess + 6


def test_inline_attachments_count() -> None:
    """They stay, and the HTML makes room for them."""
    content = b64encode(b"\x00" * 60 * 1024)
    part = b"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + content
    raw = (
        b"From: a@example.com\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/html\r\n\r\n" + b"<p>x" * 250000 + b"\r\n"
        b"" + (part + b"\r\n") * 4 + b"--b--\r\n"
    )
    found = data(raw)
    assert all(each["content_base64"] for each in found["attachments"])
    assert "html_truncated" in flags(found)
