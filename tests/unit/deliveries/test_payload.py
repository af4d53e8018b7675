"""What endpoints get: as the schema says, whatever a message is made of."""

import json
from base64 import b64decode
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from standardwebhooks import Webhook
from support.corpus import read_corpus
from support.endpoint_server import EndpointServer, healthy
from support.reading import WITH_PARTS
from support.sending import NOW, SECRET, sender_to

from app.deliveries.payload import message_payload, raw_payload
from app.mime.message import parse, read_part
from app.reading.describe import describe
from app.storage.message import Envelope, SMTPClient, StoredMessage

SCHEMA = json.loads((files("app.deliveries") / "payload.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=FormatChecker())
AT = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)
ID = "019ca945-0a01-7b76-84b5-b2a9a8215155"
KIB = 1024


def stored(raw: bytes = b"", envelope: Envelope | None = None) -> StoredMessage:
    envelope = envelope or Envelope("", "b@example.com")
    return StoredMessage(1, ID, AT, envelope, "as listed", len(raw), bytes(32))


def payload(raw: bytes) -> dict[str, Any]:
    """Return what is sent of `raw`, which must be as the schema says, in UTF-8."""
    body = message_payload(stored(raw), raw).body
    assert len(body) <= KIB * KIB
    found: dict[str, Any] = json.loads(body.decode("utf-8"))
    VALIDATOR.validate(found)
    return found


def data(raw: bytes) -> dict[str, Any]:
    """Return the message in it."""
    found: dict[str, Any] = payload(raw)["data"]
    return found


def with_attachments(*contents: bytes) -> bytes:
    """Return a message with these attachments."""
    head = b"From: a@example.com\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    part = b"--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    return head + b"".join(part + each + b"\r\n" for each in contents) + b"--b--\r\n"


def test_it_is_the_message_of_the_api() -> None:
    """With members of its own, all of which the schema has; its time is that of the arrival."""
    found = payload(WITH_PARTS)
    assert (found["type"], found["timestamp"]) == ("message.received", AT.isoformat())
    assert list(found["data"]) == SCHEMA["$defs"]["PayloadMessage"]["required"]
    described = describe(stored(WITH_PARTS), parse(WITH_PARTS))
    contents = [each.pop("content_base64") for each in found["data"]["attachments"]]
    assert {name: found["data"][name] for name in described} == described
    for attachment, content in zip(described["attachments"], contents, strict=True):
        part = read_part(WITH_PARTS, attachment["part"])
        assert part is not None
        assert part.content == b64decode(content)


def test_each_attempt_is_the_same() -> None:
    """So a receiver can compare two."""
    assert message_payload(stored(), WITH_PARTS) == message_payload(stored(), WITH_PARTS)


def test_small_attachments_are_within() -> None:
    """Up to 64 KiB each; the API has those that are larger."""
    contents = (b"a" * 64 * KIB, b"b" * (64 * KIB + 1), b"")
    within = [each["content_base64"] for each in data(with_attachments(*contents))["attachments"]]
    assert [None if each is None else b64decode(each) for each in within] == [
        contents[0],
        None,
        b"",
    ]


def test_attachments_are_within_up_to_256_kib() -> None:
    """A small one may still fit where a larger one doesn't."""
    contents = [bytes([number]) * 60 * KIB for number in range(5)] + [b"!" * 16 * KIB]
    found = data(with_attachments(*contents))["attachments"]
    assert [each["content_base64"] is not None for each in found] == [True] * 4 + [False, True]
    assert found[4]["url"] == f"/messages/{ID}/parts/5"
    assert found[4]["size"] == 60 * KIB


PIECES = [
    *(b"From: ", b"To: ", b"Date: ", b"Subject: ", b"\r\n", b"\r\n\r\n", b"a@b.example", b'"'),
    *(b"Content-Type: ", b"multipart/mixed; boundary=b", b"text/html", b"--b\r\n", b"--b--", b";"),
    *(b"=?utf-8?q?=FF=00?=", b"=?utf-7?q?+2AA-?=", b"\xff", b"\x00", b"\xed\xa0\x80", b"\\"),
]


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=5), max_size=40).map(b"".join))
def test_any_bytes_are_sent(raw: bytes) -> None:
    """Whatever they are."""
    assert data(raw)["parsed"]


def test_all_real_messages_are_sent() -> None:
    """Each file of the corpus."""
    for raw in read_corpus().values():
        assert data(raw)["parsed"]


def test_a_message_that_can_not_be_parsed_is_sent() -> None:
    """With all that is known without its content, and a flag."""
    unreadable = cast(bytes, object())  # no bytes are: this stands for a fault of the parser
    body = message_payload(stored(), unreadable).body
    found = json.loads(body)
    VALIDATOR.validate(found)
    assert (found["data"]["parsed"], found["data"]["truncated"]) == (False, True)
    assert (found["data"]["subject"], found["data"]["id"]) == ("as listed", ID)


def test_half_a_character_is_replaced() -> None:
    """JSON with a lone surrogate isn't UTF-8, and some parsers refuse it."""
    envelope = Envelope("", "b@example.com", SMTPClient(helo="\ud800!"))
    body = message_payload(stored(envelope=envelope), WITH_PARTS).body
    assert json.loads(body.decode("utf-8"))["data"]["envelope"]["helo"] == "\ufffd!"


def test_the_official_library_verifies_it() -> None:
    """As it arrives."""
    with EndpointServer(healthy) as server, sender_to(server.url()) as sender:
        message = message_payload(stored(WITH_PARTS), WITH_PARTS)
        sender.send("msg_1", message, datetime.now(UTC))
        received = server.received[0]
        assert received.headers["Content-Type"] == "application/json"
        assert received.path == "/hooks/mail"
        verified = Webhook(SECRET).verify(received.body, dict(received.headers))
    assert verified == payload(WITH_PARTS)


def test_raw_mail_arrives_as_it_is() -> None:
    """Every byte, with the envelope in UTF-8 and nothing where nothing is known."""
    raw = bytes(range(256)) + b"\r\n\n\r\xff"
    client = SMTPClient("192.0.2.1", None, "mail.example.com")
    envelope = Envelope("", "grüße@bücher.example", client, queue_id="4XYZ")
    with EndpointServer(healthy) as server, sender_to(server.url()) as sender:
        sender.send("msg_1", raw_payload(stored(raw, envelope), raw), NOW)
        received = server.received[0]
    assert received.body == raw
    assert received.headers["Content-Type"] == "message/rfc822"
    originals = {name: each for name, each in received.headers.items() if "Original" in name}
    assert {name: each.encode("latin-1").decode() for name, each in originals.items()} == {
        "X-Original-Sender": "",
        "X-Original-Recipient": "grüße@bücher.example",
        "X-Original-Client-Address": "192.0.2.1",
        "X-Original-Helo": "mail.example.com",
        "X-Original-Queue-Id": "4XYZ",
    }


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\r\n ", "\0", "\x85", "\u2028"])
def test_nothing_in_an_envelope_makes_a_header(end: str) -> None:
    """Nor ends the head."""
    evil = f"x{end}Evil: yes{end}{end}body"
    envelope = Envelope("", "b@example.com", SMTPClient(evil, evil, evil), evil, evil)
    with EndpointServer(healthy) as server, sender_to(server.url()) as sender:
        outcome = sender.send("msg_1", raw_payload(stored(envelope=envelope), b"raw"), NOW)
        received = server.received[0]
    assert outcome.reason is None
    assert received.body == b"raw"
    assert "Evil" not in received.headers
