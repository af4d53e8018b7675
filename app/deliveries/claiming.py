"""Claims due deliveries with as few queries as possible."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from app.deliveries.lane import Lane
from app.deliveries.leases import LEASE
from app.storage.delivery import Claim
from app.storage.delivery_queue import MOST_CLAIMS, DeliveryQueue

FIRST_HOLD_SECONDS = 0.05
LONGEST_HOLD_SECONDS = 1.0
FIRST_UNREAD_HOLD_SECONDS = 5.0
LONGEST_UNREAD_HOLD_SECONDS = 60.0


@dataclass
class _Known:
    """What is known about an endpoint's deliveries.

    If a claim got nothing although something was due, the next one waits until `not_before`:
    another process was faster, or the due delivery isn't first in order. While messages can't be
    read, it waits until `unread_until`, or the lane would go through all that is due at full speed.
    """

    due_at: datetime | None = None
    not_before: float = 0
    hold_seconds: float = FIRST_HOLD_SECONDS
    has_replays: bool = False
    unread_until: float = 0
    unread_hold_seconds: float = FIRST_UNREAD_HOLD_SECONDS


class Claiming:
    """Claims for a dispatcher's lanes; methods that query the queue raise StorageUnavailable."""

    def __init__(
        self,
        queue: DeliveryQueue,
        lanes: Iterable[Lane],
        clock: Callable[[], datetime],
        timer: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._timer = timer
        self._known = {lane.name: _Known() for lane in lanes}
        self._is_outdated = True

    def note_change(self) -> None:
        """Query the queue again, since some process has changed it."""
        self._is_outdated = True

    def note_end(self, lane: Lane) -> None:
        """Query at once, since the end of a request may allow the next claim."""
        known = self._known[lane.name]
        known.not_before, known.hold_seconds = 0, FIRST_HOLD_SECONDS
        known.unread_until, known.unread_hold_seconds = 0, FIRST_UNREAD_HOLD_SECONDS

    def note_unread(self, lane: Lane) -> None:
        """Claim nothing for a while, since the store failed to return a message."""
        known, now = self._known[lane.name], self._timer()
        if now < known.unread_until:  # another request that failed at the same time
            return
        known.unread_until = now + known.unread_hold_seconds
        known.unread_hold_seconds = min(known.unread_hold_seconds * 2, LONGEST_UNREAD_HOLD_SECONDS)

    def may_be_due(self, lane: Lane) -> bool:
        """Return whether something may be due, without querying the queue."""
        known = self._known[lane.name]
        is_due = known.due_at is not None and known.due_at <= self._clock()
        not_before = max(known.not_before, known.unread_until)
        return (self._is_outdated or is_due) and self._timer() >= not_before

    def is_due(self, lane: Lane) -> bool:
        """Return whether something may be due."""
        self._refresh()
        return self.may_be_due(lane)

    def claim(self, lane: Lane, most: int) -> list[Claim]:
        """Claim due deliveries, replays last."""
        known = self._known[lane.name]
        most = min(most, MOST_CLAIMS)
        claims = self._claim(lane, most, replays=False)
        rest = most - len(claims)
        if rest and (known.has_replays or not claims):
            replays = self._claim(lane, rest, replays=True)
            known.has_replays = len(replays) == rest
            claims += replays
        if len(claims) < most:
            self._is_outdated = True
        if not claims:
            known.not_before = self._timer() + known.hold_seconds
            known.hold_seconds = min(known.hold_seconds * 2, LONGEST_HOLD_SECONDS)
        return claims

    def note_replays(self, names: Collection[str]) -> None:
        """Note that these endpoints have deliveries of replays to claim."""
        for name in names:
            self._known[name].has_replays = True
            self._is_outdated = True

    def _refresh(self) -> None:
        if self._is_outdated:
            due = self._queue.next_due(self._known.keys())
            for name, known in self._known.items():
                known.due_at = due.get(name)
            self._is_outdated = False

    def _claim(self, lane: Lane, most: int, *, replays: bool) -> list[Claim]:
        now = self._clock()
        in_order = lane.endpoint.ordered
        return self._queue.claim(
            lane.name, most, now, now + LEASE, replays=replays, in_order=in_order
        )
