"""The bytes of one message while they arrive."""

import hashlib
from typing import Self

HEAD_BYTES = 256 * 1024


class Body:
    """Collects the chunks of a message in memory; a context manager, which discards it at its end.

    `size` is in bytes; `head` holds the first HEAD_BYTES. Not thread-safe. A store may keep the
    chunks elsewhere: MessageStore.new_body returns its own kind of body.
    """

    def __init__(self) -> None:
        self.size = 0
        self.head = b""
        self.chunks: list[bytes] = []
        self._hash = hashlib.sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def write(self, chunk: bytes) -> None:
        """Append `chunk`; raises StorageUnavailable when it can't be stored."""
        self.size += len(chunk)
        self._hash.update(chunk)
        if len(self.head) < HEAD_BYTES:
            self.head += chunk[: HEAD_BYTES - len(self.head)]
        self._keep(chunk)

    def sha256(self) -> bytes:
        """Return the digest of everything written so far."""
        return self._hash.digest()

    def content(self) -> bytes:
        """Return everything written so far; raises StorageUnavailable."""
        return b"".join(self.chunks)

    def discard(self) -> None:
        """Drop the bytes unless they are stored; may be called twice."""
        self.chunks.clear()

    def _keep(self, chunk: bytes) -> None:
        self.chunks.append(chunk)
