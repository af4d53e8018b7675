"""Reads and writes the files of settled deliveries; docs/storage.md describes their format.

One process at a time appends to a file, under a lock (flock). Files are never synced: a power cut
may take the last lines and damage others, which their checksums reveal.
"""

import fcntl
import json
import os
import re
import secrets
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

MOST_FILE_BYTES = 64 * 1024 * 1024
_NAME = re.compile(r"[0-9a-f]{32}\.settled")


class Settlement(NamedTuple):
    """A change of a delivery's state; `pending` if it was retried after it had been settled."""

    message_id: str
    endpoint: str
    state: str
    at_ms: int
    reason: str | None


class SettlementWriter:
    """Appends lines for one process; not safe for threads."""

    def __init__(self, directory: Path, *, most_bytes: int = MOST_FILE_BYTES) -> None:
        self.directory = directory
        self._most_bytes = most_bytes
        self._opened: tuple[Path, int] | None = None

    def append(self, number: int, settlements: Sequence[Settlement]) -> None:
        """Append a line; of two settlements of a delivery, the one with the higher number counts.

        Raises OSError.
        """
        text = json.dumps([number, settlements], separators=(",", ":")).encode()
        # On a new line, since a kill or a full disk may have left an incomplete one.
        line = b"\n%08x %s\n" % (zlib.crc32(text), text)
        descriptor = self._open()
        if (
            os.write(descriptor, line) < len(line)
            or os.fstat(descriptor).st_size > self._most_bytes
        ):
            self.close()

    def close(self) -> None:
        """Release the file, so that others can append to it."""
        if self._opened is not None:
            os.close(self._opened[1])
            self._opened = None

    def _open(self) -> int:
        if self._opened is not None and not _is_there(*self._opened):
            self.close()
        if self._opened is None:
            self._opened = self._found_with_room() or _create(self.directory)
        return self._opened[1]

    def _found_with_room(self) -> tuple[Path, int] | None:
        for path in paths(self.directory):
            with suppress(FileNotFoundError, PermissionError):
                if path.stat().st_size < self._most_bytes:
                    descriptor = _open_locked(path, os.O_WRONLY | os.O_APPEND)
                    if descriptor is not None:
                        return path, descriptor
        return None


def paths(directory: Path) -> list[Path]:
    """Return the files, which other processes may be writing to; raises OSError."""
    if not directory.is_dir():
        return []
    return [path for path in sorted(directory.iterdir()) if _NAME.fullmatch(path.name)]


def lines(path: Path) -> Iterator[tuple[int, list[Settlement]]]:
    """Yield the contents of the intact lines, each with its number; raises OSError."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            # After a power cut, a part of the file may be zeros.
            checksum, _, text = line.strip(b"\0\n").partition(b" ")
            if checksum == b"%08x" % zlib.crc32(text):
                number, settlements = json.loads(text)
                yield number, [Settlement(*each) for each in settlements]


@contextmanager
def unless_written(path: Path) -> Iterator[bool]:
    """Lock a file against other writers; return False if it is locked or gone."""
    descriptor = None
    with suppress(FileNotFoundError):
        descriptor = _open_locked(path, os.O_RDONLY)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _is_there(path: Path, descriptor: int) -> bool:
    """Return whether a file still has its name; the data directory may have been replaced."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _create(directory: Path) -> tuple[Path, int]:
    directory.mkdir(mode=0o700, exist_ok=True)
    path = directory / f"{secrets.token_hex(16)}.settled"
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND
    descriptor = _open_locked(path, flags)
    if descriptor is None:  # another process has found and locked it meanwhile
        return _create(directory)
    return path, descriptor


def _open_locked(path: Path, flags: int) -> int | None:
    """Return None if another process has locked it, or it was removed."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    if not os.fstat(descriptor).st_nlink:
        os.close(descriptor)
        return None
    return descriptor
