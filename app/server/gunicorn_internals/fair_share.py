"""Decides whether a worker accepts a connection or leaves it to one that has less to do.

All workers wait at the same sockets. Without this, whoever is awake first has all connections that
a client opens at once and keeps, and the others have nothing to do. (Puma, whose workers share
sockets in the same way, lets a busy one wait for 5 ms: its `wait_for_less_busy_worker`.)
"""

import time
from collections.abc import Callable

from app.state.slots import Slots

MOST_AHEAD = 2  # connections that a worker may have beyond the least busy one
PAUSE_SECONDS = 0.001
IN_VAIN_SECONDS = 0.05


class FairShare:
    """The share of one worker; for its main loop only."""

    def __init__(self, slots: Slots, clock: Callable[[], float] = time.monotonic) -> None:
        self._slots = slots
        self._clock = clock
        self._pause_ends_at = 0.0
        self._fewest = 0  # when the last pause began

    @property
    def pause_seconds(self) -> float:
        """How long this worker still accepts nothing, 0 or less if it does."""
        return self._pause_ends_at - self._clock()

    def note(self, busy: int | None) -> None:
        """Tell others how many connections of this worker aren't idle; None if it accepts none."""
        self._slots.note_busy(busy)
        most = self._slots.fewest_busy() + MOST_AHEAD
        if self.pause_seconds > 0 and (busy or 0) <= most:
            self._pause_ends_at = 0.0

    def leaves_next_to_others(self, busy: int) -> bool:
        """Return whether this worker, with `busy` connections that aren't idle, pauses.

        If the least busy worker has as many as before the last pause, it may be stopped: there is
        no other pause for IN_VAIN_SECONDS.
        """
        self._slots.note_busy(busy)
        since_pause = -self.pause_seconds
        if since_pause < 0:
            return True
        fewest = self._slots.fewest_busy()
        was_in_vain = fewest == self._fewest and since_pause < IN_VAIN_SECONDS
        if busy <= fewest + MOST_AHEAD or was_in_vain:
            return False
        self._pause_ends_at, self._fewest = self._clock() + PAUSE_SECONDS, fewest
        return True
