"""What a message or a JSON body that was made to explode costs: little time, little memory."""

import json
import tracemalloc
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.processor_time import processor_seconds
from support.rounds import rounds

from app.errors import BadRequest, GoMailError, MessageRejected
from app.intake.headers import parse_head
from app.intake.json_mail import decode_json_mail
from app.intake.json_object import MAX_STRUCTURE_BYTES

HEAD_BYTES = 256 * 1024
WITHIN_SECONDS = 0.1
WITHIN_BYTES = 50 * 1024 * 1024


def filled(begin: bytes, unit: bytes, end: bytes = b"\r\n") -> bytes:
    """Return as large a head as is read, in which `unit` occurs as often as it fits."""
    return begin + unit * ((HEAD_BYTES - len(begin) - len(end)) // len(unit)) + end


HEADS = {
    "many fields": filled(b"", b"a:b\r\n"),
    "many fields and nothing in them": filled(b"", b"a:\n"),
    "many recipients": filled(b"", b"To: a@b.c\n"),
    "many subjects": filled(b"", b"Subject: =?utf-8?q?x?=\r\n"),
    "many spaces before the colon": filled(b"To: a@b.c\n", b"a :\n"),
    "many broken lines": filled(b"To: a@b.c\n", b"x\n"),
    "many empty folded lines": filled(b"To: a@b.c", b"\r\n "),
    "many folded encoded words": filled(b"Subject: ", b"=?utf-8?q?x?=\r\n "),
    "lines without a name": filled(b"", b":\n"),
    "lines that continue none": filled(b"", b" \n"),
    "carriage returns before line feeds": filled(b"To: a@b.c\n", b"\r\r\r\rx\n"),
    "bare carriage returns": filled(b"To: a@b.c\r\n", b"a:b\r"),
    "nothing but carriage returns": filled(b"To: a@b.c", b"\r"),
    "nested comments": b"To: " + b"(" * 100_000 + b")" * 100_000 + b" a@b.c\r\n",
    "comments in a row": filled(b"From: ", b"(a) "),
    "one huge encoded word": filled(b"Subject: =?utf-8?b?", b"QUJD", b"?=\r\n"),
    "encoded words in a row": filled(b"Subject: ", b"=?utf-8?q?x?= "),
    "a huge word in UTF-7": filled(b"Subject: =?utf-7?q?", b"+AAA-", b"?=\r\n"),
    "many parameters": filled(b"Content-Type: text/plain", b"; a*0*=x"),
    "one line": filled(b"To: a@b.c\r\nX: ", b"y "),
    "one name": filled(b"To: a@b.c\r\n", b"a"),
    "one space": filled(b"To: a@b.c\r\nX", b" "),
    "groups": filled(b"To: ", b"g:;,"),
    "routes": filled(b"To: ", b"<@a,@b:"),
    "escapes in quotes": filled(b"To: ", b'"\\'),
    "one local part": filled(b"To: ", b"a.", b"@b.c\r\n"),
    "one domain": filled(b"To: a@", b"b."),
    "zeros": filled(b"To: a@b.c\r\nX: ", b"\0"),
    "8-bit bytes": filled(b"To: ", b"\xff"),
    "lines of mailboxes": filled(b"", b"From a\n"),
}
BODIES = {
    "a list of lists": b'{"x":[' + b"[]," * 10_000_000 + b"1]}",
    "a list of texts": b'{"x":[' + b'"",' * 10_000_000 + b"1]}",
    "texts without a comma": b'"' * 1_000_000,
    "many members": b"{" + b",".join(b'"%d":0' % number for number in range(1_000_000)) + b"}",
    "an escape without end": b'{"raw":"' + b'\\"' * 5_000_000,
    "nesting": b"[" * 60_000,
    "digits": b'{"x":' + b"1" * 60_000 + b"}",
}


def peak_bytes(action: Callable[[], object]) -> int:
    """Return how much memory `action` took at its height."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def read_head(head: bytes) -> None:
    with suppress(MessageRejected):
        parse_head(head + b"\r\nBody", is_whole=True)


def seconds(head: bytes) -> float:
    """Return the processor's time that reading `head` takes."""
    return processor_seconds(lambda: read_head(head), WITHIN_SECONDS)


@pytest.mark.parametrize("name", HEADS)
def test_an_exploding_head_takes_no_time(name: str) -> None:
    """Less than 100 ms of a processor."""
    assert seconds(HEADS[name]) < WITHIN_SECONDS


@pytest.mark.parametrize("name", HEADS)
def test_an_exploding_head_takes_no_memory(name: str) -> None:
    """Less than 50 MB."""
    assert peak_bytes(lambda: read_head(HEADS[name])) < WITHIN_BYTES


@settings(max_examples=rounds(500, 30))
@given(
    st.sampled_from([b"", b"From: ", b"To: ", b"Subject: "]),
    st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=4).map(b"".join),
)
def test_no_repetition_explodes(begin: bytes, unit: bytes) -> None:
    """Whatever is repeated until the head is full, it takes less than 100 ms."""
    assert seconds(filled(begin, unit)) < WITHIN_SECONDS


@pytest.mark.parametrize("name", BODIES)
def test_an_exploding_json_body_takes_no_memory(name: str) -> None:
    """It is refused, and takes less than 50 MB beside its own bytes."""

    def refuse() -> None:
        with pytest.raises(BadRequest):
            decode_json_mail(BODIES[name])

    assert peak_bytes(refuse) < WITHIN_BYTES


def test_json_may_hold_much_text_and_some_structure() -> None:
    """Text doesn't count as structure, whatever is in it; white space up to the limit is fine."""
    text = '[{,}]\\"' * 100_000
    body = json.dumps({"raw": text}) + " " * (MAX_STRUCTURE_BYTES - 100)
    assert decode_json_mail(body.encode()).raw == text.encode()
    with pytest.raises(BadRequest, match="far more members"):
        decode_json_mail(body.encode() + b" " * 200)


MEMBERS = st.sampled_from(
    ["sender", "recipient", "from", "to", "raw", "raw_base64", "subject", "body", "connection"]
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=rounds(1000, 50))
@given(st.dictionaries(MEMBERS | st.text(), JSON_VALUES | st.text(), max_size=8))
def test_any_json_is_read_or_refused(document: dict[str, object]) -> None:
    """No members of whatever type make it raise anything but an error of app.errors."""
    with suppress(GoMailError):
        decode_json_mail(json.dumps(document).encode())


@settings(max_examples=rounds(2000, 100))
@given(st.binary() | st.text(alphabet='{}[]",:\\u\0 1eE+-.ntf').map(str.encode))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    """Neither do bytes that are no JSON, or nearly."""
    with suppress(GoMailError):
        decode_json_mail(body)
