"""Erases bytes in the middle of files, and gives their space back."""

import ctypes
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # linux/falloc.h
_UNSUPPORTED = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_PIECE_BYTES = 1024 * 1024
_libc = ctypes.CDLL(None, use_errno=True)

Range = tuple[int, int]


def erase(path: Path, ranges: Iterable[Range]) -> bool:
    """Overwrite `ranges` of a file by zeros, durably; raises OSError.

    Return whether the space was given back, which some file systems can't do. A file that isn't
    there has nothing to be erased, and what a link leads to is left alone. Nobody writes below the
    size that the file has now.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno == errno.ELOOP:
            return True
        raise
    runs = list(_merged(ranges))
    with os.fdopen(descriptor, "rb+", buffering=0):
        size = os.fstat(descriptor).st_size
        block = os.fstat(descriptor).st_blksize
        gives_back = True
        for start, end in runs:
            if not _punch(descriptor, start, min(end, size)):
                gives_back = False
                _overwrite(descriptor, start, min(end, size))
        if gives_back:
            _punch_borders(descriptor, runs, block, size)
        os.fdatasync(descriptor)
        return gives_back


def _merged(ranges: Iterable[Range]) -> Iterator[Range]:
    """Yield the runs that `ranges` make together."""
    run: Range | None = None
    for start, end in sorted(each for each in ranges if each[0] < each[1]):
        if run is None or start > run[1]:
            if run is not None:
                yield run
            run = start, end
        else:
            run = run[0], max(run[1], end)
    if run is not None:
        yield run


def _punch_borders(descriptor: int, runs: Iterable[Range], block: int, size: int) -> None:
    """Give back blocks that became empty because their last bytes were erased now.

    Punching frees whole blocks only, and one at a border is shared with a neighbour, which may have
    been erased before.
    """
    for start, end in runs:
        for at in {start // block * block, (end - 1) // block * block}:
            if at + block <= size and not os.pread(descriptor, block, at).strip(b"\0"):
                _punch(descriptor, at, at + block)


def _punch(descriptor: int, start: int, end: int) -> bool:
    """Make a hole; return False where that isn't supported."""
    if start >= end:
        return True
    offset, length = ctypes.c_int64(start), ctypes.c_int64(end - start)
    while _libc.fallocate64(descriptor, _PUNCH_HOLE | _KEEP_SIZE, offset, length) != 0:
        code = ctypes.get_errno()
        if code in _UNSUPPORTED:
            return False
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))
    return True


def _overwrite(descriptor: int, start: int, end: int) -> None:
    while start < end:
        start += os.pwrite(descriptor, bytes(min(_PIECE_BYTES, end - start)), start)
