"""Reads a request's body: bounded, and either complete or refused."""

from collections.abc import Callable, Iterator
from typing import Protocol

from app.errors import BadRequest, MessageTooLarge, RequestTimeout

CHUNK_BYTES = 256 * 1024
"""The most that is received and read at once; it bounds the memory that a large message needs."""
_LATE = "The body took too long to arrive."


class Stream(Protocol):
    """The part of a WSGI input that is used here."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; b"" at the end. Raises OSError, also for broken framing."""
        ...


def read_chunks(
    stream: Stream, announced: int | None, limit: int, is_late: Callable[[], bool]
) -> Iterator[bytes]:
    """Yield the body in pieces of at most CHUNK_BYTES.

    `announced` is the Content-Length in bytes, None for a chunked body. Raises
    MessageTooLarge before reading when more than `limit` bytes are announced, and while
    reading when more arrive; BadRequest when the body is cut short or its framing is broken;
    RequestTimeout when `is_late` says that the server has stopped reading.
    """
    if announced is not None and announced > limit:
        raise MessageTooLarge(limit)
    received = 0
    while announced is None or received < announced:
        wanted = CHUNK_BYTES if announced is None else min(CHUNK_BYTES, announced - received)
        chunk = _read(stream, wanted, is_late)
        if not chunk:
            break
        received += len(chunk)
        if received > limit:
            raise MessageTooLarge(limit)
        yield chunk
    if is_late():
        raise RequestTimeout(_LATE)
    if announced is not None and received < announced:
        raise BadRequest(f"The body ended after {received} of the {announced} bytes announced.")


def _read(stream: Stream, size: int, is_late: Callable[[], bool]) -> bytes:
    try:
        return stream.read(size)
    except OSError as error:
        if is_late():
            raise RequestTimeout(_LATE) from error
        raise BadRequest("The body was cut off, or its HTTP framing is invalid.") from error
