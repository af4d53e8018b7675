"""Whether the data directory can be written at this moment."""

import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

PROBE_BYTES = 16 * 1024
MAX_AGE_SECONDS = 1.0


class WriteProbe:
    """Writes and syncs a nameless file; the result is kept for MAX_AGE_SECONDS.

    Without that, anybody who may ask for /health could keep the disk busy with syncs.
    """

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._clock = clock
        self._lock = threading.Lock()
        self._expires_at = clock()
        self._failure: OSError | None = None

    def check(self) -> None:
        """Raise the OSError that the last probe met."""
        with self._lock:
            if self._clock() >= self._expires_at:
                self._failure = _try_writing(self._directory)
                self._expires_at = self._clock() + MAX_AGE_SECONDS
            if self._failure is not None:
                # A new one each time: an exception keeps the traceback of every raise.
                raise OSError(self._failure.errno, self._failure.strerror)


def _try_writing(directory: Path) -> OSError | None:
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error
    return None
