"""The JSON object of any message is valid under the shipped schema."""

import json
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from support.corpus import read_corpus
from support.reading import WITH_PARTS

from app.mime.message import parse
from app.reading.describe import describe, summarize
from app.reading.schemas import MessageSchema, MessageSummarySchema
from app.storage.message import Envelope, SMTPClient, StoredMessage

SCHEMA = json.loads((files("app.reading") / "message.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=FormatChecker())
AT = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)
ID = "019ca945-0a01-7b76-84b5-b2a9a8215155"

PIECES = [
    *(b"From: ", b"To: ", b"Date: ", b"Subject: ", b"Message-ID: <", b">", b"\r\n", b"\r\n\r\n"),
    *(b"Content-Type: ", b"multipart/mixed; boundary=b", b"text/html", b"--b\r\n", b"--b--", b";"),
    *(b"a@b.example", b"=?utf-8?q?=FF=00?=", b"\xff", b"\x00", b"\xed\xa0\x80", b"Mon, 2 Mar 2026"),
    *(
        b" 10:00:00 +9959",
        b"Content-Disposition: ",
        b"attachment; filename=",
        b'"',
        b"In-Reply-To:",
    ),
]


def described(raw: bytes) -> dict[str, Any]:
    """Return the object that a client gets as JSON, which must be valid under the schema."""
    stored = StoredMessage(1, ID, AT, Envelope("", "b@example.com"), "", len(raw), bytes(32))
    written = json.dumps(describe(stored, parse(raw))).encode("ascii")
    found: dict[str, Any] = json.loads(written)
    VALIDATOR.validate(found)
    json.dumps(found, ensure_ascii=False).encode("utf-8")  # fails for lone surrogates
    return found


def test_each_member_is_described() -> None:
    """The schema has all members of the object in the same order, and requires them."""
    found = described(WITH_PARTS)
    assert list(found) == SCHEMA["required"] == list(SCHEMA["properties"])
    assert len(found) == len(MessageSchema().fields)
    assert found["received_at"] == "2026-03-01T12:00:00.123000+00:00"


def test_objects_are_what_the_schemas_make_of_them() -> None:
    """Members, their order and their types are those of the schemas, as the docs say."""
    client = SMTPClient("192.0.2.1", "mail.example", "helo.example")
    envelope = Envelope("a@example.com", "b@example.com", client, "c@example.com", "4X")
    stored = StoredMessage(1, ID, AT, envelope, "Hello", 5, bytes(32))
    for found, schema in (
        (describe(stored, parse(WITH_PARTS)), MessageSchema()),
        (describe(stored, parse(b"")), MessageSchema()),
        (summarize(stored, "the-cursor"), MessageSummarySchema()),
    ):
        written = json.dumps(found)
        assert json.dumps(schema.dump(schema.load(json.loads(written)))) == written


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=5), max_size=40).map(b"".join))
def test_any_bytes_are_described(raw: bytes) -> None:
    """The result is always valid under the schema."""
    described(raw)


def test_all_real_messages_are_described() -> None:
    """Each file of the corpus."""
    for raw in read_corpus().values():
        described(raw)


def test_the_schema_refuses_what_is_not_described() -> None:
    """A member that is missing, unknown, or of another type."""
    found = described(WITH_PARTS)
    VALIDATOR.check_schema(SCHEMA)
    for wrong in (found | {"more": 1}, found | {"defects": ["unknown"]}, found | {"text": 1}):
        assert not VALIDATOR.is_valid(wrong)
    for name in found:
        with pytest.raises(Exception, match=name):
            VALIDATOR.validate({key: value for key, value in found.items() if key != name})
