"""Work that has to be done again and again, and that may fail."""

import logging
from collections.abc import Callable

from app.errors import StorageUnavailable

_log = logging.getLogger("gomail")


class Repeated:
    """Work that is due at once, and then `every_seconds` after it has ended, also by a failure."""

    def __init__(
        self,
        failure: str,
        work: Callable[[], None],
        every_seconds: float,
        timer: Callable[[], float],
    ) -> None:
        """`failure` begins the line that is logged when the disk fails.

        `work` raises StorageUnavailable or OSError then. `timer` is a monotonic clock in seconds.
        """
        self._failure = failure
        self._work = work
        self._every_seconds = every_seconds
        self._timer = timer
        self._due_at = timer()
        self._is_failing = False

    def do_if_due(self) -> None:
        """Do it if it is due; of several failures in a row only the first is logged."""
        if self._timer() < self._due_at:
            return
        try:
            self._work()
        except (StorageUnavailable, OSError) as error:
            if not self._is_failing:
                _log.error("%s: %s. Trying again.", self._failure, error.__cause__ or error)
            self._is_failing = True
        else:
            self._is_failing = False
        self._due_at = self._timer() + self._every_seconds
