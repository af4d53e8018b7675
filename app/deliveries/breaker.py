"""A circuit breaker (Nygard, "Release It!", 2007) for an endpoint that keeps failing."""

from collections.abc import Callable
from enum import StrEnum

FAILURES_TO_OPEN = 5
"""In a row."""
FIRST_PROBE_SECONDS = 30.0
LONGEST_PROBE_SECONDS = 300.0


class BreakerState(StrEnum):
    """OPEN: only probes are sent."""

    OPEN = "open"
    CLOSED = "closed"


class Breaker:
    """The breaker of one endpoint in one process; not safe for threads.

    `begin` returns a permit for each request, which is passed back when the request ends. At first,
    and after a successful probe, 1 request may be in flight, then 2, 4, 8 and so on, each time
    after as many successes, so that a backlog doesn't overload the endpoint. At first, too, since
    a restart may interrupt a recovery; it costs a fast endpoint only milliseconds.
    """

    def __init__(self, concurrency: int, timer: Callable[[], float]) -> None:
        """`timer` is a monotonic clock in seconds."""
        self._concurrency = concurrency
        self._timer = timer
        self._state = BreakerState.CLOSED
        self._failures = 0
        self._limit = 1
        self._successes = 0
        self._permit = 0
        self._probe: int | None = None
        self._probe_at = 0.0
        self._wait = FIRST_PROBE_SECONDS

    @property
    def state(self) -> BreakerState:
        """The state; OPEN until a probe succeeds."""
        return self._state

    def begin_open(self) -> None:
        """Begin in the state OPEN, in which an earlier process has ended, with a probe now."""
        self._open()
        self._probe_at = self._timer()

    def limit(self) -> int:
        """Return how many requests may be in flight at once."""
        if self._state is BreakerState.CLOSED:
            return self._limit
        return 0 if self._probe is not None or self._timer() < self._probe_at else 1

    def begin(self) -> int:
        """Return the permit of a new request, which must be within the limit."""
        self._permit += 1
        if self._state is BreakerState.OPEN:
            self._probe = self._permit
        return self._permit

    def succeed(self) -> None:
        """Note that the endpoint works, even if it refused the message."""
        self._failures = 0
        if self._state is BreakerState.OPEN:
            # Whichever request it was: unlike a failure, the answer to one that began earlier is
            # news, since it came after the failures. If it misleads, one request at a time fails.
            self._close()
        else:
            self._successes += 1
            if self._successes >= self._limit < self._concurrency:
                self._limit = min(self._limit * 2, self._concurrency)
                self._successes = 0

    def fail(self, permit: int) -> None:
        """Note that the endpoint has failed."""
        if self._state is BreakerState.CLOSED:
            self._failures += 1
            if self._failures >= FAILURES_TO_OPEN:
                self._wait = FIRST_PROBE_SECONDS
                self._open()
        elif permit == self._probe:  # others were in flight when it opened, and say nothing new
            self._wait = min(self._wait * 2, LONGEST_PROBE_SECONDS)
            self._open()

    def give_back(self, permit: int) -> None:
        """Return the permit of a request that was never sent."""
        if permit == self._probe:
            self._probe = None

    def _open(self) -> None:
        self._state = BreakerState.OPEN
        self._probe = None
        self._probe_at = self._timer() + self._wait

    def _close(self) -> None:
        self._state = BreakerState.CLOSED
        self._probe = None
        self._limit = 1
        self._successes = 0
