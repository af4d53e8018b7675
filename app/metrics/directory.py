"""The directory of the workers' metrics files: in memory, removed by the next start at the latest.

It is not in the data directory: writing to a mapped file kills a process with SIGBUS when the disk
is full or broken, and counting messages must not depend on the disk that they are stored on.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

_PREFIX = "gomail-metrics-"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 -- mkdtemp makes names that can't be guessed


def make_directory() -> Path:
    """Return a new directory (0700), locked for as long as this process or a child of it lives.

    Removes directories whose processes have all ended. Raises OSError.
    """
    parent = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else Path(tempfile.gettempdir())
    for left_behind in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # in use, or not ours
            os.close(_lock(left_behind))
            shutil.rmtree(left_behind)
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    _lock(directory)
    return directory


def _lock(directory: Path) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(directory, flags)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
