"""Measures how long an endpoint took to answer recently."""

from collections import deque
from statistics import median

SLOW_SECONDS = 1.0
REMEMBERED = 100
SLOW_SHARE = 0.05


class Latency:
    """The durations of the last REMEMBERED requests, including failed ones."""

    def __init__(self) -> None:
        self._seconds = deque[float]()
        self._slow = 0

    def add(self, seconds: float) -> None:
        """Note how long a request took."""
        self._seconds.append(seconds)
        self._slow += seconds > SLOW_SECONDS
        if len(self._seconds) > REMEMBERED:
            self._slow -= self._seconds.popleft() > SLOW_SECONDS

    def is_slow(self, hanging: int) -> bool:
        """Return whether the 95th percentile exceeds SLOW_SECONDS.

        `hanging` is the number of requests that have been in flight for longer: an endpoint that
        stops answering counts as slow at once, not only after its timeout.
        """
        return hanging + self._slow > SLOW_SHARE * (hanging + len(self._seconds))

    def median(self) -> float | None:
        """Return the median in seconds, None before the first request."""
        return median(self._seconds) if self._seconds else None
