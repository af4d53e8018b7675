"""The bytes of one message while they arrive; those of a large one go to a nameless file."""

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from app.errors import StorageUnavailable
from app.storage.body import Body

LARGE_MESSAGE_BYTES = 1024 * 1024
PART_BYTES = 256 * 1024


class SpooledBody(Body):
    """Collects chunks in memory; beyond LARGE_MESSAGE_BYTES they go to a file in `directory`.

    Memory is bounded by LARGE_MESSAGE_BYTES and one chunk. The file has no name, and needs no sync:
    it only has to last until the bytes are in the database.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory
        self._file: IO[bytes] | None = None

    @property
    def is_large(self) -> bool:
        """Whether it takes several parts: then it is stored faster by itself than in a group."""
        return self.size > PART_BYTES

    def content(self) -> bytes:
        """Return everything written so far; raises StorageUnavailable."""
        return b"".join(self.parts())

    def parts(self) -> Iterator[bytes]:
        """Yield everything in pieces of PART_BYTES; raises StorageUnavailable."""
        if self._file is None:
            whole = b"".join(self.chunks)
            yield from (whole[at : at + PART_BYTES] for at in range(0, len(whole), PART_BYTES))
            return
        try:
            self._file.seek(0)
            while part := self._file.read(PART_BYTES):
                yield part
        except OSError as error:
            raise StorageUnavailable from error

    def discard(self) -> None:
        """Drop the bytes; may be called twice."""
        super().discard()
        if self._file is not None:
            with suppress(OSError):  # it may try to write once more
                self._file.close()
            self._file = None

    def _keep(self, chunk: bytes) -> None:
        if self._file is None:
            super()._keep(chunk)
        if self.size > LARGE_MESSAGE_BYTES:
            self._write_to_file(chunk)

    def _write_to_file(self, chunk: bytes) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 -- kept open
                self._file.writelines(self.chunks)
                self.chunks.clear()
            else:
                self._file.write(chunk)
        except OSError as error:
            self.discard()
            raise StorageUnavailable from error
