"""Line ends, escapes and separators in everything foreign that may reach a line of the log."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.raw_http import MESSAGE, exchange, whole_post
from support.server import Server

pytestmark = pytest.mark.promise("a log line is one JSON object, whatever was sent")

FORGED = "FORGED"
# What a field of HTTP can carry: no CR, LF or NUL.
IN_HEADERS = {
    "escape": b"\x1b[2J",
    "vertical tab": b"\x0b",
    "form feed": b"\x0c",
    "backspace": b"\x08",
    "next line": b"\xc2\x85",
    "next line in Latin-1": b"\x85",
    "line separator": b"\xe2\x80\xa8",
    "paragraph separator": b"\xe2\x80\xa9",
    "encoded line ends": b"=?utf-8?q?=0D=0A?=",
    "escaped line ends": b"\\r\\n",
    "percent-encoded line ends": b"%0d%0a",
    "quote": b'"}{"',
}
HEADERS = [
    *(b"X-Original-Sender", b"X-Original-Recipient", b"X-Original-Mail-From"),
    *(b"X-Original-Client-Address", b"X-Original-Client-Hostname", b"X-Original-Helo"),
    *(b"X-Original-Queue-Id", b"Idempotency-Key", b"X-Request-ID", b"User-Agent", b"Referer"),
    *(b"X-Forwarded-For", b"X-Real-IP", b"Host", b"Content-Type", b"Content-Encoding"),
]
IN_TEXT = ["\r\n", "\n", "\r", "\x1b[2J", "\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\0"]
TEXT_LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} (?:debug|info|warning|error|critical) |  "
)


def hostile_requests(server: Server) -> Iterator[bytes]:
    """Yield requests with each way to break a line in each place."""
    for value in IN_HEADERS.values():
        forged = b"a" + value + FORGED.encode()
        for name in HEADERS:
            yield whole_post(server, name + b": " + forged)
            yield whole_post(server, name + b": " + forged + b"@example.com")
        path = forged.replace(b" ", b"")
        yield b"GET /" + path + b" HTTP/1.1\r\nHost: a\r\n\r\n"
        yield b"GET /?q=" + path + b" HTTP/1.1\r\nHost: a\r\n\r\n"
        yield b"BREW" + path + b" / HTTP/1.1\r\nHost: a\r\n\r\n"
        yield b"GET / HTTP/1.1" + path + b"\r\nHost: a\r\n\r\n"
    for text in IN_TEXT:
        yield from requests_with_text(server, f"a{text}{FORGED}")
        escaped = "".join(f"%{byte:02x}" for byte in text.encode())
        yield b"GET /%b%b HTTP/1.1\r\nHost: a\r\n\r\n" % (escaped.encode(), FORGED.encode())


def requests_with_text(server: Server, text: str) -> Iterator[bytes]:
    """Yield a message with `text` in its head, folded, encoded and bare, and JSON with it."""
    encoded = "".join(f"={byte:02X}" for byte in text.encode()).encode()
    word = b"=?utf-8?q?" + encoded + b"?="
    for place in (b"From: %b <a@example.com>", b"From: %b@example.com", b"Subject: %b", b"X-%b: x"):
        for value in (word, text.encode()):
            yield whole_post(server, message=place % value + b"\r\n" + MESSAGE)
    kind = b"Content-Type: application/json"
    for member in ("from", "to", "subject", "body", "raw", "raw_base64", text):
        document = {"from": "a@example.com", "to": "b@example.com", member: text}
        body = json.dumps(document).encode()
        yield whole_post(server, message=body).replace(b"Content-Type: message/rfc822", kind)


def attacked(directory: Path, line_format: str) -> str:
    """Return what a server wrote to standard output that got every hostile request."""
    with Server(directory, log_level="debug", log_format=line_format) as server:
        server.start()
        statuses = {exchange(server, data)[9:12] for data in hostile_requests(server)}
        server.stop()
        assert {b"200", b"400", b"404", b"415", b"422"} <= statuses
        assert not [status for status in statuses if status.startswith(b"5")]
        assert server.errors() == ""
        written = server.output_file.read_bytes().decode("utf-8")
        assert FORGED in written
        return written


@pytest.fixture(scope="module")
def json_log(tmp_path_factory: pytest.TempPathFactory) -> str:
    return attacked(tmp_path_factory.mktemp("json"), "json")


@pytest.fixture(scope="module")
def text_log(tmp_path_factory: pytest.TempPathFactory) -> str:
    return attacked(tmp_path_factory.mktemp("text"), "text")


def test_each_json_line_is_one_object(json_log: str) -> None:
    """However a reader splits lines, each parses, has a level, and names its logger."""
    lines = json_log.split("\n")[:-1]
    assert lines == json_log.splitlines()  # splits at U+2028, U+0085 and others too
    records = [json.loads(line) for line in lines]
    assert all({"level", "logger", "message", "request_id"} <= record.keys() for record in records)
    assert {record["level"] for record in records} <= {"DEBUG", "INFO", "WARNING"}


def test_the_json_log_has_no_control_character(json_log: str) -> None:
    """A terminal that shows it can't be driven."""
    assert not [one for one in json_log if not one.isprintable() and one != "\n"]


def test_a_json_line_has_each_member_once(json_log: str) -> None:
    """Nothing foreign adds a member, or replaces one."""

    def check(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    names: set[str] = set()
    for line in json_log.splitlines():
        names |= json.loads(line, object_pairs_hook=check).keys()
    assert not [name for name in names if not re.fullmatch("[a-z_]+", name)]


def test_each_text_line_begins_as_one(text_log: str) -> None:
    """With time and level: what is forged stays inside of the line that it came in."""
    lines = text_log.split("\n")[:-1]
    assert lines == text_log.splitlines()
    assert [line for line in lines if not TEXT_LINE.match(line)] == []
    assert [line for line in lines if not line.isprintable()] == []
