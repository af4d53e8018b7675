"""The bytes of one message while they arrive."""

import hashlib
from collections.abc import Callable

from app.errors import StorageUnavailable
from app.storage.segments import SegmentFile

LARGE_MESSAGE_BYTES = 1024 * 1024
HEAD_BYTES = 256 * 1024


class Body:
    """Collects chunks in memory; from LARGE_MESSAGE_BYTES on they go to a segment of their own.

    `is_named` is set once a row may name that segment: then it stays, whatever happens.
    `arrived_at` is when the last byte had been read, on the clock of time.perf_counter. Memory is
    bounded by LARGE_MESSAGE_BYTES and one chunk. Not safe for several threads.
    """

    def __init__(self, open_segment: Callable[[], SegmentFile] | None = None) -> None:
        self.size = 0
        self.chunks: list[bytes] = []
        self.segment: SegmentFile | None = None
        self.is_named = False
        self.arrived_at = 0.0
        self.head = b""
        self._open_segment = open_segment
        self._hash = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        """Append `chunk`; raises StorageUnavailable when it can't be written to the segment."""
        self.size += len(chunk)
        self._hash.update(chunk)
        if len(self.head) < HEAD_BYTES:
            self.head += chunk[: HEAD_BYTES - len(self.head)]
        if self.segment is None:
            self.chunks.append(chunk)
        if self.size > LARGE_MESSAGE_BYTES and self._open_segment is not None:
            self._write_to_segment(self._open_segment, chunk)

    def sha256(self) -> bytes:
        """Return the digest of everything written so far."""
        return self._hash.digest()

    def discard(self) -> None:
        """Forget the bytes, and remove their segment unless it is named; may be called twice."""
        self.chunks.clear()
        if self.segment is not None:
            end = self.segment.close if self.is_named else self.segment.discard
            end()
            self.segment = None

    def _write_to_segment(self, open_segment: Callable[[], SegmentFile], chunk: bytes) -> None:
        try:
            if self.segment is None:
                self.segment = open_segment()
                self.segment.write(self.chunks)
                self.chunks.clear()
            else:
                self.segment.write([chunk])
        except OSError as error:
            self.discard()
            raise StorageUnavailable from error
