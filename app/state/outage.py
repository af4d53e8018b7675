"""Whether the rate limit server can be reached, shared by all workers of this host."""

import mmap
import struct

from app.state.packed import write_packed

_STATE = struct.Struct("=QQ")  # unreachable (0 or 1), outages so far


class Outage:
    """Shared memory, created before the fork, so that an outage is logged and counted once.

    Two workers that notice it in the same microsecond may both report it.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    @property
    def count(self) -> int:
        """How many outages there have been since the server was started."""
        return int(_STATE.unpack_from(self._memory)[1])

    def begin(self) -> bool:
        """Note that the server can't be reached; return whether this is news."""
        away, count = _STATE.unpack_from(self._memory)
        if not away:
            self._write(1, count + 1)
        return not away

    def end(self) -> bool:
        """Note that the server answers; return whether this is news."""
        away, count = _STATE.unpack_from(self._memory)
        if away:
            self._write(0, count)
        return bool(away)

    def _write(self, away: int, count: int) -> None:
        write_packed(self._memory, 0, _STATE, away, count)
