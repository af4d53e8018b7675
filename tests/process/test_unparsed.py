"""What never becomes a request."""

import http.client
import json
from contextlib import closing

import pytest
from support.server import Server

LONG = b"x" * 20_000


@pytest.mark.promise("every error is a problem document with a stable code")
@pytest.mark.parametrize(
    ("data", "status", "code", "detail"),
    [
        (b"GET / HTTP/1.1\r\nBad Header\r\n", 400, "bad_request", "not valid HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", 400, "bad_request", "not valid HTTP"),
        (b"GET /%b HTTP/1.1\r\n" % LONG, 400, "bad_request", "line is too long (allowed: 4094"),
        (b"GET / HTTP/1.1\r\nX: %b\r\n" % LONG, 400, "bad_request", "of 8190 bytes"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 101, 400, "bad_request", "100 header fields"),
        (b"GET / HTTP/1.1\r\nExpect: more\r\n", 400, "bad_request", "100-continue"),
        (b"GET / HTTP/3.0\r\n", 400, "bad_request", "HTTP/1.1"),
        (
            b"POST /email HTTP/1.1\r\nTransfer-Encoding: mystery\r\n",
            415,
            "unsupported_media_type",
            "Only chunked",
        ),
        (
            b"POST /email HTTP/1.1\r\nTransfer-Encoding: gzip\r\n",
            415,
            "unsupported_media_type",
            "Only chunked",
        ),
    ],
    ids=["header", "TLS", "line", "field", "fields", "expectation", "version", "coding", "gzip"],
)
def test_what_cannot_be_parsed_gets_a_problem_document(
    shared_server: Server, data: bytes, status: int, code: str, detail: str
) -> None:
    """It says what is wrong like every other, and its id is found in the log."""
    with closing(shared_server.connect()) as connection:
        connection.sendall(data + b"\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        problem = json.loads(answer.read())
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (problem["code"], problem["status"]) == (code, status)
    assert detail in problem["detail"]
    assert answer.headers["X-Request-ID"] == problem["request_id"] != ""
    lines = [json.loads(line) for line in shared_server.output()]
    assert [line["message"] for line in lines if line["request_id"] == problem["request_id"]] == [
        f"A request was refused unparsed: {code}"
    ]
