"""The small files of a data directory, each written completely or not at all."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def locked_directory(directory: Path) -> Iterator[None]:
    """Hold a lock that keeps other processes from writing small files there; raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_whole(path: Path, text: str) -> None:
    """Write the file (0600) atomically and durably; raises OSError.

    The caller holds `locked_directory`.
    """
    temporary = _unfinished(path)
    flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable; raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_unfinished(path: Path) -> None:
    """Remove what a killed `write_whole` of this file has left behind; raises OSError."""
    temporary = _unfinished(path)
    with locked_directory(path.parent), suppress(FileNotFoundError):
        if stat.S_ISREG(temporary.lstat().st_mode):
            temporary.unlink()


def _unfinished(path: Path) -> Path:
    return path.with_name(path.name + ".new")
