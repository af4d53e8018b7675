"""Checks whether the database can be written to right now."""

import threading
import time
from collections.abc import Callable

from app.errors import StorageUnavailable
from app.storage.postgresql.connections import Connections
from app.storage.postgresql.failures import failures_as_unavailable
from app.storage.postgresql.figures import set_to

MAX_AGE_SECONDS = 1.0


class WriteProbe:
    """Commits a change of one row, as durably as a message.

    The result is kept for MAX_AGE_SECONDS; otherwise anyone who can request /health could keep
    the database busy with syncs.
    """

    def __init__(
        self, connections: Connections, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._connections = connections
        self._clock = clock
        self._lock = threading.Lock()
        self._expires_at = clock()
        self._failure: StorageUnavailable | None = None

    def check(self) -> None:
        """Raise StorageUnavailable if the last probe has failed."""
        with self._lock:
            if self._clock() >= self._expires_at:
                self._failure = self._try()
                self._expires_at = self._clock() + MAX_AGE_SECONDS
            if self._failure is not None:
                # A new one each time: an exception keeps the traceback of every raise.
                raise StorageUnavailable(str(self._failure)) from self._failure.__cause__

    def _try(self) -> StorageUnavailable | None:
        try:
            with failures_as_unavailable():
                self._write()
        except StorageUnavailable as failure:
            return failure
        return None

    def _write(self) -> None:
        with self._connections.durable_transaction() as connection:
            set_to(connection, "checked_at_ms", int(time.time() * 1000))
