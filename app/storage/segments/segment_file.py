"""One segment: an append-only file of records."""

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from app.state.small_files import sync_directory
from app.storage.segments.record import FILE_HEADER, MESSAGE, RECORDS, file_header, header

SUFFIX = ".records"
_MOST_BUFFERS_A_WRITE = 512  # well below IOV_MAX, 1024 on Linux


class Span(NamedTuple):
    """Where the bytes of one message are: `length` bytes at `offset` in the file `segment`."""

    segment: str
    offset: int
    length: int

    @property
    def end(self) -> int:
        """The offset of the first byte after it."""
        return self.offset + self.length


class SegmentFile:
    """One segment, open for appending and locked by this process."""

    def __init__(self, directory: Path, layout: int = RECORDS) -> None:
        """Create the file (0600) and make its name durable; raises OSError."""
        self.marker = _new_marker()
        self.name = f"{self.marker.hex()}{SUFFIX}"
        self.size = 0
        self._path = directory / self.name
        self._descriptor = _create_locked(self._path)
        try:
            sync_directory(directory)
            self.write([file_header(self.marker, layout)])
        except OSError:
            self.discard()
            raise

    def write(self, chunks: Sequence[bytes]) -> None:
        """Append all of `chunks`; after an OSError, any part of them may have been appended."""
        pending = [memoryview(chunk) for chunk in chunks if chunk]
        while pending:
            written = os.writev(self._descriptor, pending[:_MOST_BUFFERS_A_WRITE])
            self.size += written
            pending = _after(pending, written)

    def finish_large_message(self, description: bytes, number: int) -> Span:
        """Append the record of the message that is the rest of the segment; durable on return.

        Raises OSError, and then the segment must be discarded.
        """
        size = self.size - FILE_HEADER.size
        self.write([header(self.marker, MESSAGE, 0, description, size, number)])
        self.sync()
        return Span(self.name, FILE_HEADER.size, size)

    def read_large_message(self) -> bytes:
        """Return what was appended behind the file's header; raises OSError."""
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(FILE_HEADER.size)
            return file.read()

    def sync(self) -> None:
        """Make everything written durable; after an OSError the file must not be used again."""
        os.fdatasync(self._descriptor)

    def shorten(self, size: int) -> None:
        """Drop what was appended after the first `size` bytes; raises OSError."""
        os.ftruncate(self._descriptor, size)
        self.size = size

    def forget_pages(self) -> None:
        """Drop the file's synced bytes from the page cache.

        The next large message gets the same memory, which the processor still has in its caches:
        half the CPU time at 5 MiB. Whoever reads this one, for a delivery too, reads it from disk.
        """
        with suppress(OSError):
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Close the file and release its lock."""
        os.close(self._descriptor)

    def discard(self) -> None:
        """Remove the file and close it."""
        # Emptied first: a start that finds the name must not find a message.
        for remove in (partial(self.shorten, 0), self._path.unlink):
            with suppress(OSError):
                remove()
        self.close()


def _new_marker() -> bytes:
    while True:
        marker = uuid4().bytes
        # A record can be told from the zeros before it, and a torn marker from a lost sector.
        if 0 not in marker:
            return marker


def _create_locked(path: Path) -> int:
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
    while True:
        descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            os.close(descriptor)
            raise
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # a completion removed it between its creation and the lock


def _after(pending: list[memoryview], written: int) -> list[memoryview]:
    for number, chunk in enumerate(pending):
        if written < len(chunk):
            return [chunk[written:], *pending[number + 1 :]]
        written -= len(chunk)
    return []
