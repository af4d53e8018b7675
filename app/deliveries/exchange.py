"""Sends a request over an existing connection, and reads the answer."""

import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException
from typing import NamedTuple

from urllib3.exceptions import HTTPError
from urllib3.response import HTTPResponse

from app.deliveries.connection import Connection
from app.deliveries.deadlines import DeadlineWatch
from app.deliveries.outcome import AttemptFailed, Reason
from app.deliveries.tls import failure_text
from app.storage.delivery import MOST_ANSWER_BYTES

BODY_SECONDS = 5.0
"""The longest time to read the body of an answer, which is stored only to be shown."""

_PIECE_BYTES = 16 * 1024
_ENDED = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


class Request(NamedTuple):
    """A POST request; the values of `headers` are sent in ISO 8859-1, so they can be any bytes."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """An answer; `beginning` is the part of the body that was read."""

    status: int
    phrase: str
    location: str | None
    retry_after: str | None
    beginning: bytes
    is_whole: bool


def exchange(
    connection: Connection, request: Request, until: float, watch: DeadlineWatch
) -> Answer:
    """Send a request and read the answer until `until`, a time of time.monotonic.

    Raises AttemptFailed; the reason is CONNECTION_CLOSED if the connection ended without an answer.
    """
    connected = connection.sock
    connection.has_answered = False
    try:
        with watch.guard(connected, until):
            response = _ask(connection, request)
    except (OSError, HTTPException, HTTPError) as error:
        raise _failed(error, connection, until) from error
    if connection.has_ended:  # within the header section, which http.client then accepts
        raise _failed(
            ConnectionError("the header section of the answer is incomplete"), connection, until
        )
    with watch.guard(connected, min(until, time.monotonic() + BODY_SECONDS)):
        beginning, is_whole = _read_body(response)
    return Answer(
        status=response.status,
        phrase=response.reason or "",
        location=response.headers.get("location"),
        retry_after=response.headers.get("retry-after"),
        beginning=beginning,
        is_whole=is_whole and response.status >= 200,  # an interim answer is followed by another
    )


def _ask(connection: Connection, request: Request) -> HTTPResponse:
    # Some servers answer early and close the connection: the answer may be there despite the error.
    with suppress(*_ENDED):
        connection.request(
            "POST",
            request.path,
            body=request.body,
            headers=request.headers,
            preload_content=False,
            decode_content=False,
        )
    return connection.getresponse()


def _read_body(response: HTTPResponse) -> tuple[bytes, bool]:
    """Return the beginning of the body, and whether it was read to the end."""
    beginning = b""
    try:
        while piece := response.read1(_PIECE_BYTES, decode_content=False):
            beginning += piece[: MOST_ANSWER_BYTES - len(beginning)]
    except (OSError, HTTPException, HTTPError):
        return beginning, False
    return beginning, True


def _failed(error: Exception, connection: Connection, until: float) -> AttemptFailed:
    reason, text = Reason.ANSWER_INVALID, f"The answer is not valid HTTP/1.1: {error}."
    if time.monotonic() >= until or isinstance(error, TimeoutError):
        is_begun = connection.has_answered
        reason = Reason.TIMEOUT
        text = (
            "Only a part of its header section has arrived." if is_begun else "Nothing has arrived."
        )
    elif isinstance(error, _ENDED):
        reason = Reason.CONNECTION_CLOSED
        text = "The endpoint closed the connection without an answer."
    elif isinstance(error, ssl.SSLError):
        reason, text = Reason.TLS_FAILED, failure_text(error)
    elif isinstance(error, OSError):
        reason = Reason.CONNECTION_CLOSED
        text = f"The connection failed: {error.strerror or error}."
    return AttemptFailed(reason, text, connection.address)
