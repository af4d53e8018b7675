"""Notes in the store which circuit breakers are open: for people, and for other processes."""

from collections.abc import Callable, Mapping
from datetime import datetime

from app.deliveries.attempts import AttemptLog
from app.deliveries.breaker import BreakerState
from app.deliveries.lane import Lane
from app.deliveries.outcome import Outcome
from app.storage.delivery_queue import DeliveryQueue

COMPARE_SECONDS = 5.0


class BreakerNotes:
    """The notes of one dispatcher; methods that use the queue raise StorageUnavailable.

    Notes outlive the process, so that a restart or a reload doesn't send many requests to an
    endpoint that is down; and other hosts, too, open their breakers with a probe.
    """

    def __init__(
        self,
        queue: DeliveryQueue,
        lanes: Mapping[str, Lane],
        log: AttemptLog,
        clock: Callable[[], datetime],
        timer: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._lanes = lanes
        self._log = log
        self._clock = clock
        self._timer = timer
        self._changes: dict[str, str | None] = {}  # the reason of an open one, None if closed
        self._answered: set[str] = set()
        self._are_recalled = False
        self._compare_at = timer() + COMPARE_SECONDS

    def recall(self) -> None:
        """Begin with the breakers open that are noted as open; only the first call does anything.

        Call it before any request begins.
        """
        if self._are_recalled:
            return
        for name in self._queue.open_breakers().keys() & self._lanes.keys():
            self._open(self._lanes[name])
        self._are_recalled = True

    def note(self, lane: Lane, outcome: Outcome, before: BreakerState) -> None:
        """Note the breaker's state after a request, to be stored later; `before`: before it."""
        # Also while it stays open: another process may have noted it as closed.
        if lane.breaker.state is BreakerState.OPEN:
            self._changes[lane.name] = str(outcome.reason)
        elif before is BreakerState.OPEN:
            self._changes[lane.name] = None
        elif not outcome.is_breaking:
            self._answered.add(lane.name)

    def store(self) -> None:
        """Store what has changed."""
        self._compare()
        for name, reason in list(self._changes.items()):
            if reason is None:
                self._queue.close_breaker(name)
            else:
                self._queue.open_breaker(name, reason, self._clock())
            del self._changes[name]

    def _compare(self) -> None:
        if self._timer() < self._compare_at:
            return
        for name in self._queue.open_breakers().keys() & self._lanes.keys():
            lane = self._lanes[name]
            if name in self._answered:  # whoever noted it may have ended, or can't reach it
                self._changes.setdefault(name, None)
            elif name not in self._changes and lane.breaker.state is BreakerState.CLOSED:
                self._open(lane)
        self._answered.clear()
        self._compare_at = self._timer() + COMPARE_SECONDS

    def _open(self, lane: Lane) -> None:
        lane.breaker.begin_open()
        self._log.note_breaker(lane, lane.breaker.state)
