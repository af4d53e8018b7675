"""Cuts the bytes of a message as the library needs them, without copying what is large."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain

from app.storage.objects.deadline import Deadline

PIECE_BYTES = 256 * 1024
"""The library looks for room before each piece, and takes it whole."""

Piece = bytes | memoryview


def pieces(chunks: Iterable[bytes]) -> Iterator[Piece]:
    """Yield the bytes of `chunks` in pieces of at most PIECE_BYTES."""
    for chunk in chunks:
        if len(chunk) <= PIECE_BYTES:
            yield chunk
        else:
            view = memoryview(chunk)
            for start in range(0, len(view), PIECE_BYTES):
                yield view[start : start + PIECE_BYTES]


def whole(rest: Iterator[Piece], limit: int) -> bytes | Iterator[Piece]:
    """Return all bytes of `rest` if they are at most `limit`, otherwise all of its pieces."""
    taken, length = deque[Piece](), 0
    for piece in rest:
        taken.append(piece)
        length += len(piece)
        if length > limit:
            return chain(_emptied(taken), rest)
    return b"".join(taken)


def _emptied(taken: deque[Piece]) -> Iterator[Piece]:
    """Yield pieces without keeping any of them."""
    while taken:
        yield taken.popleft()


def until(deadline: Deadline, rest: Iterable[Piece]) -> Iterator[Piece]:
    """Yield pieces until the deadline has passed, then raise TimeoutError."""
    for piece in rest:
        if deadline.has_passed:
            raise TimeoutError
        yield piece
