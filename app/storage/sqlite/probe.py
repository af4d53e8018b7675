"""Checks whether the store can be written to right now."""

import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

PROBE_BYTES = 16 * 1024
MAX_AGE_SECONDS = 1.0


class WriteProbe:
    """Writes and syncs a nameless file, then tries the database.

    The result is kept for MAX_AGE_SECONDS; otherwise anyone who can request /health could keep
    the disk busy with syncs.
    """

    def __init__(
        self,
        directory: Path,
        try_database: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`try_database` raises OSError when the database can't be written to."""
        self._directory = directory
        self._try_database = try_database
        self._clock = clock
        self._lock = threading.Lock()
        self._expires_at = clock()
        self._failure: OSError | None = None

    def check(self) -> None:
        """Raise the OSError of the last probe, if it failed."""
        with self._lock:
            if self._clock() >= self._expires_at:
                self._failure = self._try()
                self._expires_at = self._clock() + MAX_AGE_SECONDS
            if self._failure is not None:
                # A new one each time: an exception keeps the traceback of every raise.
                raise OSError(self._failure.errno, self._failure.strerror)

    def _try(self) -> OSError | None:
        try:
            _write_file(self._directory)
            self._try_database()
        except OSError as error:
            return error
        return None


def _write_file(directory: Path) -> None:
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(bytes(PROBE_BYTES))
        file.flush()
        os.fsync(file.fileno())
