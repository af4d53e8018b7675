"""What each worker has in flight and has done, in memory shared with the master.

A worker writes only to its own slot, so a thread lock is enough. The worker that replaces a dead
one gets its slot: the requests in flight are gone, the totals stay.
"""

import mmap
import threading
from dataclasses import dataclass

SLOTS = 1024  # up to 256 workers are allowed, and a reload doubles them for a moment

# Where each number is in a slot. Times are in ms since 1970.
# _BUSY is one more than the connections that aren't idle, 0 for a worker that accepts none.
_IN_FLIGHT, _MESSAGES, _BYTES, _LAST_RECEIVED, _TIMEOUTS, _BUSY = range(6)
_A_SLOT = 6
_DRAINING = SLOTS * _A_SLOT
_USED = _DRAINING + 1  # no slot from this one on was ever assigned


@dataclass(frozen=True)
class Totals:
    """Totals of all workers since the start; `last_received_ms` is 0 before the first message."""

    messages: int
    bytes: int
    last_received_ms: int
    timeouts: int


class Slots:
    """Created before the fork. Each worker binds itself to the slot that the master assigned."""

    def __init__(self) -> None:
        # 64 bits at a time, which nobody sees half written.
        self._numbers = memoryview(mmap.mmap(-1, (_USED + 1) * 8)).cast("q")
        self._lock = threading.Lock()
        self._own = 0
        self._assigned: set[int] = set()

    def assign(self) -> int:
        """Return a free slot for a worker that is about to be forked."""
        slot = next(number for number in range(SLOTS) if number not in self._assigned)
        self._assigned.add(slot)
        self._numbers[_USED] = max(self._numbers[_USED], slot + 1)
        return slot

    def release(self, slot: int) -> None:
        """Take back the slot of a worker that has ended."""
        self._numbers[slot * _A_SLOT + _IN_FLIGHT] = 0
        self._numbers[slot * _A_SLOT + _BUSY] = 0
        self._assigned.discard(slot)

    def bind(self, slot: int) -> None:
        """Let this process write to `slot`."""
        self._own = slot * _A_SLOT

    def enter(self) -> bool:
        """Count a request in, unless the server drains; return whether it was counted."""
        # Count first, then look: either the master sees this request, or this sees the drain.
        with self._lock:
            self._numbers[self._own + _IN_FLIGHT] += 1
        if self._numbers[_DRAINING]:
            self.leave()
            return False
        return True

    def leave(self) -> None:
        """Count a request out."""
        with self._lock:
            self._numbers[self._own + _IN_FLIGHT] -= 1

    def count_message(self, size: int, received_at_ms: int) -> None:
        """Note that a message of `size` bytes was stored."""
        numbers, own = self._numbers, self._own
        with self._lock:
            numbers[own + _MESSAGES] += 1
            numbers[own + _BYTES] += size
            numbers[own + _LAST_RECEIVED] = max(numbers[own + _LAST_RECEIVED], received_at_ms)

    def count_timeout(self) -> None:
        """Note that a client ran out of time before its request was answered."""
        with self._lock:
            self._numbers[self._own + _TIMEOUTS] += 1

    def note_busy(self, count: int | None) -> None:
        """Note how many connections of this worker aren't idle; None while it accepts none."""
        self._numbers[self._own + _BUSY] = 0 if count is None else count + 1

    def fewest_busy(self) -> int:
        """Return the lowest count of any worker that accepts connections, or 0."""
        used = self._numbers[_USED] * _A_SLOT
        accepting = filter(None, self._numbers[_BUSY:used:_A_SLOT].tolist())
        return min(accepting, default=1) - 1

    def in_flight(self) -> int:
        """Return how many requests all workers have in flight."""
        return sum(self._of_all(_IN_FLIGHT))

    def totals(self) -> Totals:
        """Return the sums over all workers."""
        return Totals(
            sum(self._of_all(_MESSAGES)),
            sum(self._of_all(_BYTES)),
            max(self._of_all(_LAST_RECEIVED)),
            sum(self._of_all(_TIMEOUTS)),
        )

    @property
    def draining(self) -> bool:
        """Whether the server refuses new requests."""
        return self._numbers[_DRAINING] != 0

    def drain(self) -> None:
        """Refuse new requests from now on."""
        self._numbers[_DRAINING] = 1

    def _of_all(self, number: int) -> list[int]:
        return self._numbers[number:_DRAINING:_A_SLOT].tolist()
