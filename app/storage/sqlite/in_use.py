"""Tells whether anybody has the database open, so that it isn't replaced under them."""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import StorageUnavailable


class InUse:
    """A shared lock that a process holds as long as it has the database open."""

    def __init__(self, data_dir: Path) -> None:
        self._path = _path(data_dir)
        self._descriptor: int | None = None
        self._held: os.stat_result | None = None
        self._directories = 0
        self._one_at_a_time = threading.Lock()

    def hold(self) -> int:
        """Take the lock unless it is held; raises OSError while the database is replaced.

        Returns a number that is another one after the data directory was replaced.

        It has to be that of the present data directory: one that was held before another directory
        took its place keeps nobody from replacing the database there.
        """
        with self._one_at_a_time:
            if self._held is None or not _is_in_place(self._path, self._held):
                taken = _locked(self._path)
                self.release()
                self._descriptor, self._held = taken, os.fstat(taken)
                self._directories += 1
            return self._directories

    def release(self) -> None:
        """Let go of the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = self._held = None


def _locked(path: Path) -> int:
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        message = "gomail.db is being made anew; try again when that is done"
        raise BlockingIOError(error.errno, message) from error
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def is_in_use(data_dir: Path) -> bool:
    """Return whether anybody has the database open; raises OSError.

    For a moment this keeps others from opening it, if nobody has.
    """
    try:
        with used_by_nobody_else(data_dir):
            return False
    except StorageUnavailable:
        return True


@contextmanager
def used_by_nobody_else(data_dir: Path) -> Iterator[None]:
    """Keep others from opening the database; raises StorageUnavailable if anybody has it open."""
    descriptor = _open(_path(data_dir))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StorageUnavailable(
            "gomail.db can't be made anew while others use it: stop the server first"
        ) from None
    else:
        yield
    finally:
        os.close(descriptor)


def _is_in_place(path: Path, held: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), held)
    except FileNotFoundError:
        return False


def _path(data_dir: Path) -> Path:
    return data_dir / "in-use.lock"


def _open(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
