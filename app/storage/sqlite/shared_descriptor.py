"""A descriptor of gomail.db beside those of SQLite.

When a process closes any descriptor of a file, it loses all locks that it has on it (fcntl(2)),
also those of SQLite: then another process would take itself for the only one and remove the log.
So whoever needs a descriptor keeps it as long as connections, and shares it within the process.
"""

import os
import threading
from dataclasses import dataclass
from pathlib import Path


@dataclass
class _Shared:
    descriptor: int
    users: int


_Identity = tuple[int, int]
_open: dict[_Identity, _Shared] = {}
_one_at_a_time = threading.Lock()


class SharedDescriptor:
    """Opened on first use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity: _Identity | None = None

    def descriptor(self) -> int:
        """Return what it may be read and written with; raises OSError."""
        with _one_at_a_time:
            if self._identity is None:
                self._identity = _identity(self._path.stat())
                if self._identity not in _open:
                    descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
                    self._identity = _identity(os.fstat(descriptor))
                    _open[self._identity] = _Shared(descriptor, 0)
                _open[self._identity].users += 1
            return _open[self._identity].descriptor

    def release(self) -> None:
        """Close it if nobody else in this process uses it; after the connections are closed."""
        with _one_at_a_time:
            if self._identity is None:
                return
            shared = _open[self._identity]
            shared.users -= 1
            if not shared.users:
                del _open[self._identity]
                os.close(shared.descriptor)
            self._identity = None


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino
