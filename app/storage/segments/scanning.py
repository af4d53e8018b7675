"""Searches in a file, in time that grows with the bytes that are passed."""

import errno
import os
from collections.abc import Iterator

_FIRST_PIECE_BYTES = 4096  # what is sought is often near, and a file may have thousands of gaps
_MOST_PIECE_BYTES = 1024 * 1024


def first_other_than_zero(descriptor: int, start: int, end: int) -> int:
    """Return the offset of the first byte from `start` on that isn't 0, `end` without one."""
    size = _FIRST_PIECE_BYTES
    while start < end:
        start = _next_data(descriptor, start, end)
        piece = os.pread(descriptor, min(size, end - start), start)
        if rest := piece.lstrip(b"\0"):
            return start + len(piece) - len(rest)
        if not piece:
            break
        start += len(piece)
        size = min(2 * size, _MOST_PIECE_BYTES)
    return end


def occurrences(descriptor: int, sought: bytes, start: int, end: int) -> Iterator[int]:
    """Yield the offsets from `start` on and before `end` at which `sought` begins."""
    overlap = len(sought) - 1
    size = _FIRST_PIECE_BYTES
    while start < end:
        piece = os.pread(descriptor, min(size, end - start) + overlap, start)
        at = piece.find(sought)
        while at >= 0:
            yield start + at
            at = piece.find(sought, at + 1)
        if len(piece) <= overlap:
            return
        start += len(piece) - overlap
        size = min(2 * size, _MOST_PIECE_BYTES)


def _next_data(descriptor: int, position: int, end: int) -> int:
    try:
        return min(os.lseek(descriptor, position, os.SEEK_DATA), end)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but a hole follows
            return end
        raise
