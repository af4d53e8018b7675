"""Bytes without a row, in segments whose writers have ended.

After a crash they were never acknowledged, and are removed. When it isn't certain that the rows are
all there, they may be acknowledged mail: then they are moved to a directory of their own.
"""

import fcntl
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.state.small_files import sync_directory

LEFTOVERS = "leftovers"


@dataclass(frozen=True)
class Leftover:
    """Bytes that belong to no message; `kept_as` names their file, None when they are gone."""

    size: int
    kept_as: str | None = None


def sweep_segment(path: Path, end_of_rows: Callable[[str], int], *, keep: bool) -> Leftover | None:
    """Remove what lies behind the last row's end, or `keep` it elsewhere; raises OSError.

    A segment that a process writes is left alone.
    """
    if 0 < path.stat().st_size <= end_of_rows(path.name):
        return None
    with path.open("rb+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        end = end_of_rows(path.name)  # again: the writer may have committed before it ended
        size = os.fstat(file.fileno()).st_size
        kept_as = _keep(path, file, end) if keep and size > end else None
        if end == 0 and kept_as is None:
            path.unlink()
        elif 0 < end < size:  # if the file is too short, truncate would add zeros
            file.truncate(end)
        return Leftover(size - end, kept_as) if size > end else None


def kept_leftovers(directory: Path) -> list[Leftover]:
    """Return what earlier sweeps of the segments in `directory` have kept; raises OSError."""
    kept = directory / LEFTOVERS
    files = sorted(kept.iterdir()) if kept.is_dir() else []
    return [Leftover(path.lstat().st_size, path.name) for path in files]


def _keep(path: Path, file: BinaryIO, start: int) -> str:
    directory = path.with_name(LEFTOVERS)
    directory.mkdir(mode=0o700, exist_ok=True)
    name = path.name if start == 0 else f"{path.name}.from-{start}"
    if start == 0:
        path.rename(directory / name)
    else:
        file.seek(start)
        _copy(file, directory / name)
    sync_directory(directory)
    sync_directory(path.parent)
    return name


def _copy(file: BinaryIO, target: Path) -> None:
    # What an interrupted sweep has copied is copied again.
    flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(target, flags, 0o600), "wb") as copy:
        shutil.copyfileobj(file, copy)
        copy.flush()
        os.fsync(copy.fileno())
