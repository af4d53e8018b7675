"""What each worker has in flight and has done, in memory shared with the master.

A worker writes only to its own slot, so a thread lock is enough. The worker that replaces a dead
one gets its slot: the requests in flight are gone, the totals stay.
"""

import mmap
import struct
import threading
from dataclasses import dataclass

from app.state.packed import write_packed

SLOTS = 1024  # up to 256 workers are allowed, and a reload doubles them for a moment

# in flight, messages, bytes, last received (ms since 1970), timeouts
_SLOT = struct.Struct("=qqqqq")
_DRAINING_OFFSET = SLOTS * _SLOT.size


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
        self._memory = mmap.mmap(-1, _DRAINING_OFFSET + 8)
        self._lock = threading.Lock()
        self._own = 0
        self._assigned: set[int] = set()

    def assign(self) -> int:
        """Return a free slot for a worker that is about to be forked."""
        slot = next(number for number in range(SLOTS) if number not in self._assigned)
        self._assigned.add(slot)
        return slot

    def release(self, slot: int) -> None:
        """Take back the slot of a worker that has ended."""
        _, *done = self._read(slot)
        self._write(slot, 0, *done)
        self._assigned.discard(slot)

    def bind(self, slot: int) -> None:
        """Let this process write to `slot`."""
        self._own = slot

    def enter(self) -> bool:
        """Count a request in, unless the server drains; return whether it was counted."""
        # Count first, then look: either the master sees this request, or this sees the drain.
        self._add(in_flight=1)
        if self.draining:
            self._add(in_flight=-1)
            return False
        return True

    def leave(self) -> None:
        """Count a request out."""
        self._add(in_flight=-1)

    def count_message(self, size: int, received_at_ms: int) -> None:
        """Note that a message of `size` bytes was stored."""
        self._add(messages=1, size=size, received_at_ms=received_at_ms)

    def count_timeout(self) -> None:
        """Note that a client ran out of time before its request was answered."""
        self._add(timeouts=1)

    def in_flight(self) -> int:
        """Return how many requests all workers have in flight."""
        return sum(self._read(slot)[0] for slot in range(SLOTS))

    def totals(self) -> Totals:
        """Return the sums over all workers."""
        _, messages, size, last, timeouts = zip(*map(self._read, range(SLOTS)), strict=True)
        return Totals(sum(messages), sum(size), max(last), sum(timeouts))

    @property
    def draining(self) -> bool:
        """Whether the server refuses new requests."""
        return self._memory[_DRAINING_OFFSET] != 0

    def drain(self) -> None:
        """Refuse new requests from now on."""
        self._memory[_DRAINING_OFFSET] = 1

    def _add(
        self,
        in_flight: int = 0,
        messages: int = 0,
        size: int = 0,
        received_at_ms: int = 0,
        timeouts: int = 0,
    ) -> None:
        with self._lock:
            old = self._read(self._own)
            self._write(
                self._own,
                old[0] + in_flight,
                old[1] + messages,
                old[2] + size,
                max(old[3], received_at_ms),
                old[4] + timeouts,
            )

    def _read(self, slot: int) -> tuple[int, int, int, int, int]:
        return _SLOT.unpack_from(self._memory, slot * _SLOT.size)

    def _write(self, slot: int, *values: int) -> None:
        write_packed(self._memory, slot * _SLOT.size, _SLOT, *values)
