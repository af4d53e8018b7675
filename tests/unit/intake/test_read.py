from io import BytesIO

import pytest

from app.errors import BadRequest, MessageTooLarge, RequestTimeout
from app.intake.read import CHUNK_BYTES, read_chunks


class RecordingStream(BytesIO):
    """Notes how much was asked for."""

    asked = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.asked += size or 0
        return super().read(size)


def punctual() -> bool:
    """Say that the client's time isn't up."""
    return False


class FailingStream:
    """Gives some bytes, then fails."""

    def __init__(self, error: Exception) -> None:
        self._answers: list[bytes | Exception] = [b"beginning", error]

    def read(self, _size: int, /) -> bytes:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_the_body_is_read_whole(size: int, is_chunked: bool) -> None:
    """All bytes come, in pieces of bounded size, up to exactly the limit."""
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    pieces = list(read_chunks(BytesIO(body), None if is_chunked else size, size, punctual))
    assert b"".join(pieces) == body
    assert all(0 < len(piece) <= CHUNK_BYTES for piece in pieces)


def test_no_more_is_read_than_announced() -> None:
    """What follows the body on the connection stays there."""
    stream = BytesIO(b"bodynext request")
    assert b"".join(read_chunks(stream, 4, 100, punctual)) == b"body"
    assert stream.read() == b"next request"


def test_too_much_announced_is_refused_unread() -> None:
    """Content-Length alone decides, before a byte is read."""
    stream = RecordingStream(b"x" * 11)
    with pytest.raises(MessageTooLarge) as caught:
        next(read_chunks(stream, 11, 10, punctual))
    assert "10 bytes" in str(caught.value)
    assert stream.asked == 0


def test_too_much_chunked_is_refused_while_reading() -> None:
    """An endless chunked body is read no further than one piece beyond the limit."""
    stream = RecordingStream(b"x" * 100 * CHUNK_BYTES)
    with pytest.raises(MessageTooLarge):
        list(read_chunks(stream, None, 2 * CHUNK_BYTES, punctual))
    assert stream.asked == 3 * CHUNK_BYTES


@pytest.mark.parametrize("sent", [b"", b"short", b"x" * 9])
def test_a_body_cut_short_is_refused(sent: bytes) -> None:
    """Fewer bytes than announced are never taken for a message."""
    with pytest.raises(BadRequest, match=f"ended after {len(sent)} of the 10 bytes"):
        list(read_chunks(BytesIO(sent), 10, 100, punctual))


@pytest.mark.parametrize(
    "error",
    [
        OSError(71, "framing"),
        ConnectionResetError(104, "reset"),
        TimeoutError("timed out"),
    ],
)
def test_broken_framing_is_a_bad_request(error: Exception) -> None:
    """What fails while reading is the client's fault, and its cause is not shown to it."""
    chunks = read_chunks(FailingStream(error), None, 100, punctual)
    assert next(chunks) == b"beginning"
    with pytest.raises(BadRequest) as caught:
        next(chunks)
    assert caught.value.__cause__ is error
    assert str(caught.value) == "The body was cut off, or its HTTP framing is invalid."


@pytest.mark.parametrize("announced", [100, None])
def test_a_body_that_the_server_ended_is_a_timeout(announced: int | None) -> None:
    """When the time is up the end of the stream isn't the end of the body, and no fault of it."""
    with pytest.raises(RequestTimeout, match="took too long"):
        list(read_chunks(BytesIO(b"beginning"), announced, 100, lambda: True))


@pytest.mark.parametrize("error", [OSError(71, "framing"), ConnectionResetError(104, "reset")])
def test_a_read_that_the_server_ended_is_a_timeout(error: Exception) -> None:
    """What breaks because the time was up is told as that."""
    chunks = read_chunks(FailingStream(error), None, 100, lambda: True)
    assert next(chunks) == b"beginning"
    with pytest.raises(RequestTimeout) as caught:
        next(chunks)
    assert caught.value.__cause__ is error
