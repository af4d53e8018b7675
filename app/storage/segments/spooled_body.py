"""The bytes of one message while they arrive; a large one goes to a segment of its own."""

from collections.abc import Callable

from app.errors import StorageUnavailable
from app.storage.body import Body
from app.storage.segments.segment_file import SegmentFile

LARGE_MESSAGE_BYTES = 1024 * 1024


class SpooledBody(Body):
    """Collects chunks in memory; beyond LARGE_MESSAGE_BYTES they go to a segment of their own.

    `is_stored` is set once that segment is a stored message. Memory is bounded by
    LARGE_MESSAGE_BYTES and one chunk.
    """

    def __init__(self, open_segment: Callable[[], SegmentFile]) -> None:
        super().__init__()
        self.segment: SegmentFile | None = None
        self.is_stored = False
        self._open_segment = open_segment

    def content(self) -> bytes:
        """Return everything written so far; raises StorageUnavailable."""
        if self.segment is None:
            return super().content()
        try:
            return self.segment.read_large_message()
        except OSError as error:
            raise StorageUnavailable from error

    def discard(self) -> None:
        """Drop the bytes, and their segment unless it is stored; may be called twice."""
        super().discard()
        segment, self.segment = self.segment, None
        if segment is None:
            return
        if self.is_stored:
            segment.forget_pages()
            segment.close()
        else:
            segment.discard()

    def _keep(self, chunk: bytes) -> None:
        if self.segment is None:
            super()._keep(chunk)
        if self.size > LARGE_MESSAGE_BYTES:
            self._write_to_segment(chunk)

    def _write_to_segment(self, chunk: bytes) -> None:
        try:
            if self.segment is None:
                self.segment = self._open_segment()
                self.segment.write(self.chunks)
                self.chunks.clear()
            else:
                self.segment.write([chunk])
        except OSError as error:
            self.discard()
            raise StorageUnavailable from error
