from collections.abc import Iterator
from typing import Any

import pytest
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.unreader import Unreader
from hypothesis import given
from hypothesis import strategies as st

from app.server.gunicorn_internals.body import ArrivingBody, has_arrived, in_pieces

NO_REQUEST: Any = None  # of which trailers would be told


class Arrivals(Unreader):
    """A connection on which `pieces` arrive, one a time; then it ends, or fails."""

    def __init__(self, pieces: list[bytes], error: OSError | None = None) -> None:
        super().__init__()
        self._pieces = iter(pieces)
        self._error = error

    def chunk(self, _size_hint: int | None = None) -> bytes:
        """Return the next piece, as recv does when more has come than Gunicorn asks for."""
        piece = next(self._pieces, b"")
        if not piece and self._error:
            raise self._error
        return piece


def reads(body: Body, size: int) -> Iterator[bytes]:
    """Yield what reads of `size` return until there is nothing more."""
    while data := body.read(size):
        yield data


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    st.integers(0, 200),
    st.integers(1, 50),
)
def test_the_body_is_read_and_nothing_behind_it(
    pieces: list[bytes], length: int, size: int
) -> None:
    """Piece by piece, however they are cut, never more than asked for; the rest is the next's."""
    sent = b"".join(pieces)
    connection = Arrivals(pieces)
    body = ArrivingBody(LengthReader(connection, length))
    found = list(reads(body, size))
    assert b"".join(found) == sent[:length]
    assert all(len(data) <= size for data in found)
    assert body.reader.length == max(length - len(sent), 0)
    assert b"".join(reads_of(connection)) == sent[length:]


def reads_of(connection: Unreader) -> Iterator[bytes]:
    while data := connection.read():
        yield data


def test_what_has_come_is_returned_without_waiting_for_more() -> None:
    """A read takes one piece, though more was asked for."""
    body = ArrivingBody(LengthReader(Arrivals([b"one", b"two"]), 6))
    assert body.read(100) == b"one"


@pytest.mark.parametrize("size", [None, -1])
def test_without_a_size_all_is_read(size: int | None) -> None:
    """As whoever calls it so expects."""
    body = ArrivingBody(LengthReader(Arrivals([b"one", b"two", b"three"]), 6))
    assert body.read(size) == b"onetwo"
    assert body.read(size) == b""


def test_after_readline_nothing_is_lost() -> None:
    """What it has read beyond its line comes first."""
    body = ArrivingBody(LengthReader(Arrivals([b"one\ntwo", b"three"]), 12))
    assert body.readline() == b"one\n"
    assert body.read(3) + body.read(100) + body.read(100) == b"twothree"


def test_a_failure_spoils_the_connection() -> None:
    """Where the next request would begin isn't known then."""
    body = ArrivingBody(LengthReader(Arrivals([b"one"], ConnectionResetError()), 6))
    assert body.read(100) == b"one"
    with pytest.raises(ConnectionResetError):
        body.read(100)
    assert body.failed


def test_a_chunked_body_is_read_as_gunicorn_does() -> None:
    """Its framing is Gunicorn's to take off."""
    chunked = in_pieces(Body(ChunkedReader(NO_REQUEST, Arrivals([b"3\r\none\r\n", b"0\r\n\r\n"]))))
    assert chunked.read(100) == b"one"
    assert has_arrived(chunked)


@pytest.mark.parametrize("sent", [b"zz\r\none\r\n", b"3\r\nonexx", b"3\r\non"])
def test_broken_chunks_are_a_failed_read(sent: bytes) -> None:
    """The way in knows OSError, and nothing of Gunicorn's own errors."""
    body = in_pieces(Body(ChunkedReader(NO_REQUEST, Arrivals([sent]))))
    with pytest.raises(OSError, match=r"\w"):
        body.read(100)
