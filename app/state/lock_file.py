"""Files by whose locks the processes that share a data directory keep out of each other's way."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


class LockFile:
    """A file to lock, opened at the first use. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[int, os.stat_result] | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the others out; raises OSError."""
        descriptor, _ = self._open()
        # Waiting here blocks in the kernel, where SQLite's own busy handler polls.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def check_place(self) -> None:
        """Raise OSError when the directory isn't any more where the lock was opened.

        Files stay open when they are removed, and would take messages that no start finds.
        """
        _, opened = self._open()
        if not os.path.samestat(self._path.stat(), opened):
            raise OSError(errno.ESTALE, "the data directory has been replaced")

    def close(self) -> None:
        """Close the file; the next use opens what is there then."""
        if self._opened is not None:
            os.close(self._opened[0])
            self._opened = None

    def _open(self) -> tuple[int, os.stat_result]:
        if self._opened is None:
            flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
            descriptor = os.open(self._path, flags, 0o600)
            self._opened = descriptor, os.fstat(descriptor)
        return self._opened


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep out, once, other processes that lock the file at `path`; raises OSError."""
    with closing(LockFile(path)) as lock, lock.held():
        yield
