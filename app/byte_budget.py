"""Limits how many bytes of one kind a worker holds in memory at once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ByteBudget:
    """Bytes that threads take and give back, in the order in which they come."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._next = threading.Lock()  # or a large body would wait as long as small ones come
        self._change = threading.Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Wait until `size` bytes are free, or all of them are for a larger one; hold them."""
        size = min(size, self._total)
        with self._next, self._change:
            self._change.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            with self._change:
                self._free += size
                self._change.notify_all()
