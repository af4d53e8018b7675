"""Reading a request's body: bounded, and complete or not at all."""

from collections.abc import Iterator
from typing import Protocol

from gunicorn.http.errors import ParseException

from app.errors import BadRequest, MessageTooLarge

CHUNK_BYTES = 64 * 1024


class Stream(Protocol):
    """The part of a WSGI input that is used here."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; b"" at the end."""
        ...


def read_chunks(stream: Stream, announced: int | None, limit: int) -> Iterator[bytes]:
    """Yield the body in pieces of at most CHUNK_BYTES.

    `announced` is the Content-Length in bytes, None for a chunked body. Raises
    MessageTooLarge before reading when more than `limit` bytes are announced, and while
    reading when more arrive; BadRequest when the body is cut short or its framing is broken.
    """
    if announced is not None and announced > limit:
        raise MessageTooLarge(limit)
    received = 0
    while announced is None or received < announced:
        wanted = CHUNK_BYTES if announced is None else min(CHUNK_BYTES, announced - received)
        chunk = _read(stream, wanted)
        if not chunk:
            break
        received += len(chunk)
        if received > limit:
            raise MessageTooLarge(limit)
        yield chunk
    if announced is not None and received < announced:
        raise BadRequest(f"The body ended after {received} of the {announced} bytes announced.")


def _read(stream: Stream, size: int) -> bytes:
    try:
        return stream.read(size)
    except (OSError, ParseException) as error:
        raise BadRequest("The body broke off or isn't framed as HTTP demands.") from error
