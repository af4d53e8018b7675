import email
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTPUTF8

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.intake.compose import compose, content_digest
from app.storage.message import Envelope

ENVELOPE = Envelope("ann@example.com", "bob@example.com")
AT = datetime(2026, 3, 1, 12, 30, 5, tzinfo=UTC)
HOST = "mx.example.com"


def composed(subject: str, text: str, envelope: Envelope = ENVELOPE) -> bytes:
    return compose(envelope, subject, text, AT, HOST)


def parsed(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=SMTPUTF8)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


@pytest.mark.parametrize("subject", ["Hello", "Grüße aus Köln", "日本語" * 60, "x" * 998, ""])
@pytest.mark.parametrize("text", ["Hello\n", "Grüße\n日本\n", "x" * 5000 + "\n", ".\n..\nFrom a\n"])
def test_a_composed_message_reads_as_it_was_given(subject: str, text: str) -> None:
    """The standard library's parser gets subject, text and addresses back."""
    message = parsed(composed(subject, text))
    assert message["Subject"] == subject
    assert message.get_content() == text.replace("\n", "\r\n")
    assert (message["From"], message["To"]) == (ENVELOPE.sender, ENVELOPE.recipient)
    assert message["Date"].datetime == AT


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_any_text_survives(text: str) -> None:
    """Any text comes back, with its line ends made one kind and its last one ensured."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n") + "\n"
    message = email.message_from_bytes(composed("", text), policy=SMTPUTF8)
    assert message.get_payload(decode=True).decode().replace("\r\n", "\n") == lines


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\rb", "a\n\n", "", "x" * 2000])
@pytest.mark.parametrize("subject", ["Hello", "ü" * 998, "x" * 998])
def test_lines_end_with_crlf_and_are_short(subject: str, text: str) -> None:
    """Every line ends with CRLF and none is longer than RFC 5322's 998 characters."""
    raw = composed(subject, text)
    lines = raw.split(b"\r\n")
    assert lines[-1] == b""
    assert not [line for line in lines if b"\n" in line or b"\r" in line or len(line) > 998]


def test_no_header_can_be_smuggled_in() -> None:
    """The header fields are these eight, whatever the text looks like."""
    message = parsed(
        composed("=?utf-8?q?x=0D=0ABcc:_c@example.com?=", "Bcc: c@example.com\r\n\r\nx")
    )
    assert message.keys() == [
        "Date",
        "From",
        "To",
        "Subject",
        "Message-ID",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    ]


def test_a_null_sender_becomes_mailer_daemon() -> None:
    """From can't be empty, so a bounce comes from MAILER-DAEMON at this host."""
    message = parsed(composed("", "", Envelope("", "bob@example.com")))
    assert message["From"] == "MAILER-DAEMON@mx.example.com"


def test_the_message_id_depends_on_the_content_alone() -> None:
    """The same content has the same Message-ID a day later, other content another one."""
    ids = [
        parsed(compose(envelope, subject, text, at, HOST))["Message-ID"]
        for envelope, subject, text, at in [
            (ENVELOPE, "s", "t", AT),
            (ENVELOPE, "s", "t", AT + timedelta(days=1)),
            (ENVELOPE, "s", "t2", AT),
            (ENVELOPE, "s2", "t", AT),
            (Envelope("", ENVELOPE.recipient), "s", "t", AT),
        ]
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4


def test_parts_are_told_apart() -> None:
    """Moving characters from one part to the next gives another digest."""
    assert content_digest(ENVELOPE, "ab", "c") != content_digest(ENVELOPE, "a", "bc")
