"""Lock files, for processes that share a data directory."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from app.state.bounded_flock import flock_within

NOTE_BYTES = 36


class LockFile:
    """A file to lock, opened on first use. Not thread-safe."""

    def __init__(self, path: Path, wait_seconds: float | None = None) -> None:
        """`wait_seconds` is how long to wait for others, None for as long as it takes."""
        self._path = os.fspath(path)
        self._wait_seconds = wait_seconds
        self._opened: tuple[int, os.stat_result] | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; raises OSError, TimeoutError when others don't let go of it."""
        descriptor, _ = self._open()
        # Both wait in the kernel, whereas SQLite's own busy handler polls.
        if self._wait_seconds is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        else:
            flock_within(descriptor, self._wait_seconds)
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    @contextmanager
    def held_if_free(self) -> Iterator[int | None]:
        """Hold the lock and yield the file's descriptor; None if another one holds it.

        Raises OSError.
        """
        descriptor, _ = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        try:
            yield descriptor
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def read(self) -> str:
        """Return the note in the file, "" without one; raises OSError."""
        descriptor, _ = self._open()
        return os.pread(descriptor, NOTE_BYTES, 0).decode("ascii", "replace").strip()

    def write(self, note: str) -> None:
        """Replace the note, of up to NOTE_BYTES; it isn't synced. Raises OSError."""
        descriptor, _ = self._open()
        os.pwrite(descriptor, note.encode("ascii").ljust(NOTE_BYTES), 0)

    def check_place(self) -> None:
        """Raise OSError if the directory was replaced since the lock was opened.

        Removed files stay open: messages would be written to them, and no start would find those.
        """
        _, opened = self._open()
        if not os.path.samestat(os.stat(self._path), opened):  # noqa: PTH116 -- for each message
            raise OSError(errno.ESTALE, "the data directory has been replaced")

    def close(self) -> None:
        """Close the file; the next use opens whatever file is there then."""
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
def locked(path: Path, wait_seconds: float | None = None) -> Iterator[None]:
    """Hold a lock on the file at `path` once; raises OSError, see LockFile."""
    with closing(LockFile(path, wait_seconds)) as lock, lock.held():
        yield
