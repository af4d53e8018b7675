"""Whether a worker has ended that may have left a half-received message in the data directory."""

import mmap


class EndedWorkers:
    """Shared memory, created before the fork: the master notes it, a worker takes it on."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def note(self) -> None:
        """In the master: a worker has ended."""
        self._memory[0] = 1

    def take(self) -> bool:
        """In a worker: return whether one has ended since somebody last asked.

        Two workers that ask in the same microsecond may both be told so.
        """
        is_due = self._memory[0] == 1
        if is_due:
            self._memory[0] = 0
        return is_due
