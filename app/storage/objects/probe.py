"""Keeps the result of a check for a while: anyone may request /health, and each check costs."""

import threading
from collections.abc import Callable

from app.errors import StorageUnavailable
from app.storage.objects.failures import ObjectStoreError

MAX_AGE_SECONDS = 5.0


class Probe:
    """Tries `write` at most once in MAX_AGE_SECONDS, in one thread at a time."""

    def __init__(self, write: Callable[[], None], clock: Callable[[], float]) -> None:
        self._write = write
        self._clock = clock
        self._lock = threading.Lock()
        self._expires_at = clock()
        self._failure: str | None = None

    def check(self) -> None:
        """Raise StorageUnavailable if the last try has failed."""
        with self._lock:
            if self._clock() >= self._expires_at:
                self._failure = self._try()
                self._expires_at = self._clock() + MAX_AGE_SECONDS
            if self._failure is not None:
                # A new one each time: an exception keeps the traceback of every raise.
                raise StorageUnavailable from ObjectStoreError(self._failure)

    def _try(self) -> str | None:
        try:
            self._write()
        except StorageUnavailable as error:
            return str(error.__cause__)
        return None
