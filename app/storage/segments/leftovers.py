"""Bytes that belong to no message but may have been acknowledged: they are kept in a directory."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.state.small_files import sync_directory

LEFTOVERS = "leftovers"


@dataclass(frozen=True)
class Leftover:
    """Bytes that are kept in the file `name` of the directory; `size` of them."""

    name: str
    size: int


def move_end(path: Path, start: int) -> Leftover:
    """Move what lies behind the offset `start` of a segment elsewhere; raises OSError.

    The caller holds the lock on the segment. With `start` 0 the whole file is moved.
    """
    directory = path.with_name(LEFTOVERS)
    directory.mkdir(mode=0o700, exist_ok=True)
    size = path.stat().st_size - start
    name = path.name if start == 0 else f"{path.name}.from-{start}"
    if start == 0:
        path.rename(directory / name)
        sync_directory(directory)
        sync_directory(path.parent)
    else:
        with path.open("rb+") as file:
            file.seek(start)
            _copy(file, directory / name)
            sync_directory(directory)
            sync_directory(path.parent)
            file.truncate(start)
            os.fdatasync(file.fileno())
    return Leftover(name, size)


def kept_leftovers(directory: Path) -> list[Leftover]:
    """Return what earlier starts have kept of the segments in `directory`; raises OSError."""
    kept = directory / LEFTOVERS
    files = sorted(kept.iterdir()) if kept.is_dir() else []
    return [Leftover(path.name, path.lstat().st_size) for path in files]


def _copy(file: BinaryIO, target: Path) -> None:
    # What an interrupted start has copied is copied again.
    flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(target, flags, 0o600), "wb") as copy:
        shutil.copyfileobj(file, copy)
        copy.flush()
        os.fsync(copy.fileno())
