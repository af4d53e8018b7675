"""Where prometheus_client keeps the numbers of one worker: files that pass to its successor.

The library's own multiprocess mode has files for each process id, so every worker that ever ran
leaves some behind, and each scrape reads them all. Here they belong to a slot (app.state.slots).
The format is the library's, whose MultiProcessCollector adds the files up.

The library's value class asks for the process id and packs two doubles each time. This one adds
to a double in place, which costs a third, and is why all the counting fits its budget.
"""

import os
import threading
from pathlib import Path
from typing import Any

import prometheus_client.values
from prometheus_client.mmap_dict import MmapedDict, mmap_key

_FILE_BYTES = {"histogram": 1024 * 1024, "counter": 64 * 1024}


def keep_in_slot(directory: Path, slot: int) -> None:
    """Let all metrics made from now on in this process live in the files of `slot`.

    They go on from where the slot's last process ended. Raises OSError.
    """
    files = {
        kind: _open(directory / f"{kind}_{slot}.db", size) for kind, size in _FILE_BYTES.items()
    }
    lock = threading.Lock()

    def new_value(kind: str, *identity: Any, **_options: Any) -> SlotValue:
        return SlotValue(files[kind], mmap_key(*identity), lock)

    new_value._multiprocess = True  # type: ignore[attr-defined]
    prometheus_client.values.ValueClass = new_value


class SlotValue:
    """One double in the file of a slot; has what prometheus_client asks of a value."""

    def __init__(self, file: MmapedDict, key: str, lock: threading.Lock) -> None:
        """`lock` is one for all values of a process."""
        self._lock = lock
        with lock:
            file.read_value(key)  # makes it where it is missing
            self._doubles = memoryview(file._m).cast("d")
            self._index = file._positions[key] // 8

    def inc(self, amount: float) -> None:
        """Add `amount`."""
        with self._lock:
            self._doubles[self._index] += amount

    def get(self) -> float:
        """Return the sum over all processes that had the slot."""
        return float(self._doubles[self._index])

    def get_exemplar(self) -> None:
        """Return none: multiprocess mode has no exemplars."""


def _open(path: Path, size: int) -> MmapedDict:
    if not path.exists():
        # Renamed when it is whole: an empty file, even for a moment, would fail a scrape.
        new = path.with_suffix(".new")
        with new.open("wb") as file:
            # Space that is missing later would end the process with SIGBUS.
            os.posix_fallocate(file.fileno(), 0, size)
        new.rename(path)
    return MmapedDict(str(path))
