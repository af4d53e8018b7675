from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import wsgi

from app.server.gunicorn_internals.response import Answer


class Wire:
    """A socket that remembers what each call has sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.sent.append(data)


def answered(
    pieces: list[bytes],
    length: int | None,
    *,
    method: str = "POST",
    status: str = "200 OK",
    kind: type[wsgi.Response] = Answer,
) -> list[bytes]:
    """Return what is sent, call by call, for an answer of `pieces`."""
    request: Any = SimpleNamespace(method=method, version=(1, 1), should_close=lambda: False)
    wire: Any = Wire()
    response = kind(request, wire, Config())
    headers = [("Content-Type", "text/plain"), ("X-Name", "J\xfcrgen")]
    if length is not None:
        headers.append(("Content-Length", str(length)))
    response.start_response(status, headers)
    for piece in pieces:
        response.write(piece)
    response.close()
    sent: list[bytes] = wire.sent
    return sent


def test_head_and_body_are_sent_at_once() -> None:
    """One call, so one packet, in which the body follows the head."""
    [sent] = answered([b"Hello"], 5)
    assert sent.startswith(b"HTTP/1.1 200 OK\r\n")
    assert sent.endswith(b"\r\n\r\nHello")


@pytest.mark.parametrize(
    ("pieces", "length", "method", "status"),
    [
        ([b"Hello"], 5, "POST", "200 OK"),
        ([b"Hel", b"lo"], 5, "POST", "200 OK"),
        ([b"", b"Hello"], 5, "POST", "200 OK"),
        ([], 0, "POST", "200 OK"),
        ([b""], 0, "GET", "503 Service Unavailable"),
        ([b"Hello"], 5, "HEAD", "200 OK"),
        ([], None, "GET", "204 No Content"),
        ([b"Hel", b"lo"], None, "POST", "200 OK"),
        ([], None, "POST", "200 OK"),
        ([b"Hello and more"], 5, "POST", "200 OK"),
    ],
)
def test_the_bytes_are_those_that_gunicorn_would_send(
    pieces: list[bytes], length: int | None, method: str, status: str
) -> None:
    """Whole, in pieces, in chunks or without a body: only the calls differ, never the bytes."""
    of_gunicorn = answered(pieces, length, method=method, status=status, kind=Answer.__bases__[0])
    ours = answered(pieces, length, method=method, status=status)
    assert without_date(b"".join(ours)) == without_date(b"".join(of_gunicorn))


def without_date(answer: bytes) -> list[bytes]:
    return [line for line in answer.split(b"\r\n") if not line.startswith(b"Date:")]
