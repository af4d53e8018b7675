"""The bytes of one message while they arrive."""

import hashlib

HEAD_BYTES = 256 * 1024


class Body:
    """Collects the chunks of a message in memory.

    `size` is in bytes; `head` holds the first HEAD_BYTES. Not safe for several threads. A store may
    keep the chunks elsewhere: it hands out its own kind (MessageStore.new_body).
    """

    def __init__(self) -> None:
        self.size = 0
        self.head = b""
        self.chunks: list[bytes] = []
        self._hash = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        """Append `chunk`; raises StorageUnavailable when it can't be kept."""
        self.size += len(chunk)
        self._hash.update(chunk)
        if len(self.head) < HEAD_BYTES:
            self.head += chunk[: HEAD_BYTES - len(self.head)]
        self._keep(chunk)

    def sha256(self) -> bytes:
        """Return the digest of everything written so far."""
        return self._hash.digest()

    def discard(self) -> None:
        """Forget the bytes unless they are stored; may be called twice."""
        self.chunks.clear()

    def _keep(self, chunk: bytes) -> None:
        self.chunks.append(chunk)
