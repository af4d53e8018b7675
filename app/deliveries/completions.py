"""Gathers results and stores them together (like riverqueue/river, job_completer.go)."""

from collections.abc import Callable

from app.storage.delivery import Result
from app.storage.delivery_queue import DeliveryQueue

GATHER_SECONDS = 0.05
MOST_RESULTS = 200


class Completions:
    """Results that aren't stored yet; none is lost while the store fails."""

    def __init__(self, queue: DeliveryQueue, timer: Callable[[], float]) -> None:
        self._queue = queue
        self._timer = timer
        self._results: list[Result] = []
        self._due_at: float | None = None

    def __len__(self) -> int:
        return len(self._results)

    def add(self, result: Result, *, is_urgent: bool = False) -> None:
        """Store a result with those of the next GATHER_SECONDS, or at once if it is urgent."""
        self._results.append(result)
        due_at = self._timer() + (0 if is_urgent else GATHER_SECONDS)
        self._due_at = due_at if self._due_at is None else min(self._due_at, due_at)

    def keep_due(self) -> bool:
        """Store the results if it is time, and return whether it was.

        Raises StorageUnavailable; the results that aren't stored are then kept here.
        """
        is_due = self._due_at is not None and self._timer() >= self._due_at
        if not is_due and len(self._results) < MOST_RESULTS:
            return False
        while self._results:
            self._queue.finish(self._results[:MOST_RESULTS])
            del self._results[:MOST_RESULTS]
        self._due_at = None
        return True
