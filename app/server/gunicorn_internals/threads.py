"""The threads that handle requests; they wait at a limit of processes instead of failing."""

import logging
from concurrent.futures import ThreadPoolExecutor

from app.reading.arrival_watch import MOST_WAITING

RESERVED_THREADS = 8 + MOST_WAITING
"""The number of threads that requests may not use while they wait for their client.

Requests that wait for messages may take all of these but eight.
"""

_log = logging.getLogger("gomail")


class PatientPool(ThreadPoolExecutor):
    """A pool that makes do with the threads it has when the system gives it no more.

    `most` is how many requests may have a thread at the moment. Only the main loop may submit.
    """

    def __init__(self, threads: int) -> None:
        super().__init__(max_workers=threads)
        self.most = self._wanted = threads
        self._has_complained = False
        # Later, other workers may have used up what the system allows.
        self._adjust_thread_count()

    @property
    def most_uploads(self) -> int:
        """How many requests may have a thread while their clients are still sending."""
        return max(1, self.most - min(RESERVED_THREADS, self.most // 2))

    def try_again(self) -> None:
        """Try to have all threads again, and start one for work that has none."""
        if self.most < self._wanted:
            self.most = self._wanted
            self._adjust_thread_count()

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError as error:
            self.most = max(1, len(self._threads))
            if not self._has_complained:
                _log.error("A thread can't be started (%s): %d have to do", error, self.most)
            self._has_complained = True
