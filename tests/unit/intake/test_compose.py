import email
import hashlib
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTPUTF8

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.processor_time import processor_seconds

from app.intake.compose import Attachment, Parts, compose, content_digest
from app.storage.message import Envelope

ENVELOPE = Envelope("ann@example.com", "bob@example.com")
AT = datetime(2026, 3, 1, 12, 30, 5, tzinfo=UTC)
HOST = "mx.example.com"


def compose_at(at: datetime, envelope: Envelope, parts: Parts) -> bytes:
    return compose(envelope, parts, content_digest(envelope, parts), at, HOST)


def composed(subject: str, text: str, envelope: Envelope = ENVELOPE) -> bytes:
    return compose_at(AT, envelope, Parts(subject, text))


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
    content = message.get_payload(decode=True)
    assert isinstance(content, bytes)
    assert content.decode().replace("\r\n", "\n") == lines


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
        parsed(compose_at(at, envelope, Parts(subject, text)))["Message-ID"]
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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Parts("ab", "c"), Parts("a", "bc")),
        (Parts("s", "t"), Parts("s", "t", "<p>1</p>")),
        (Parts("s", "t", "<p>1</p>"), Parts("s", "t", "<p>2</p>")),
        (Parts("s", html="1"), Parts("s", "1")),
        (Parts("s", "t"), Parts("s", "t", None, [Attachment(b"")])),
        (Parts("s", "t", None, [Attachment(b"1")]), Parts("s", "t", None, [Attachment(b"2")])),
        (
            Parts(attachments=[Attachment(b"", "a")]),
            Parts(attachments=[Attachment(b"", None, "a")]),
        ),
    ],
)
def test_parts_are_told_apart(one: Parts, other: Parts) -> None:
    """What differs in any part has another digest, as has what moves from one to the next."""
    assert content_digest(ENVELOPE, one) != content_digest(ENVELOPE, other)


def test_subject_and_text_keep_the_digest_of_version_0_1() -> None:
    """A message that was composed before an upgrade is known when it is repeated after it."""
    digest = hashlib.sha256()
    for part in (b"ann@example.com", b"bob@example.com", b"s", b"t"):
        digest.update(len(part).to_bytes(8, "big") + part)
    assert content_digest(ENVELOPE, Parts("s", "t")) == digest.digest()


LOGO = Attachment(b"\x89PNG", 'l"o\\go.png', "image/png", "<logo@example.com>")
REPORT = Attachment(bytes(range(256)) * 20, "Bericht über März " + "ü" * 237, "application/pdf")
BARE = Attachment(b"From x\n.\n--=_mixed")
NOTE = Attachment("Grüße\n".encode(), "note.txt", "text/plain; charset=utf-8")


def test_every_part_is_found_in_the_message() -> None:
    """Text and HTML are alternatives, pictures stand beside the HTML, attachments behind."""
    parts = Parts("Invoice", "Text", '<img src="cid:logo@example.com">', [LOGO, REPORT, BARE, NOTE])
    message = parsed(compose_at(AT, ENVELOPE, parts))
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
        "application/octet-stream",
        "text/plain",
    ]
    assert not [part.defects for part in message.walk() if part.defects]
    leaves = [part for part in message.walk() if not part.is_multipart()]
    text, html, logo, report, bare, note = leaves
    assert text.get_payload(decode=True) == b"Text\r\n"
    assert html.get_payload(decode=True) == b'<img src="cid:logo@example.com">\r\n'
    assert (logo["Content-ID"], logo.get_filename()) == (LOGO.content_id, LOGO.filename)
    assert report.get_filename() == REPORT.filename
    assert (bare.get_filename(), bare.get_content_disposition()) == (None, "attachment")
    assert note.get_content_charset() == "utf-8"
    assert [part.get_payload(decode=True) for part in (logo, report, bare, note)] == [
        each.content for each in (LOGO, REPORT, BARE, NOTE)
    ]


@pytest.mark.parametrize(
    ("parts", "types"),
    [
        (Parts("s", html="<p>"), ["text/html"]),
        (Parts("s"), ["text/plain"]),
        (Parts("s", "t", "h"), ["multipart/alternative", "text/plain", "text/html"]),
        (Parts("s", attachments=[NOTE]), ["multipart/mixed", "text/plain", "text/plain"]),
        (Parts("s", html="h", attachments=[LOGO]), ["multipart/related", "text/html", "image/png"]),
        (Parts("s", "t", attachments=[LOGO]), ["multipart/mixed", "text/plain", "image/png"]),
    ],
)
def test_a_message_has_no_more_parts_than_it_needs(parts: Parts, types: list[str]) -> None:
    """What there is one of stands alone."""
    message = parsed(compose_at(AT, ENVELOPE, parts))
    assert [part.get_content_type() for part in message.walk()] == types


def test_lines_of_attachments_are_short() -> None:
    """The longest name of a file makes no line longer than RFC 5322 allows."""
    raw = compose_at(AT, ENVELOPE, Parts("s", "t", None, [LOGO, REPORT]))
    assert max(map(len, raw.split(b"\r\n"))) <= 998


def test_many_attachments_take_their_time_only_once() -> None:
    """Ten thousand empty ones: comparing each with each would take seconds."""
    parts = Parts("s", "t", "<p>", [Attachment(b"", content_id=f"{n}@x") for n in range(10_000)])
    assert processor_seconds(lambda: compose_at(AT, ENVELOPE, parts), 1) < 1
