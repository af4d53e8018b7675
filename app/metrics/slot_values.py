"""Where prometheus_client keeps the numbers of one worker: files that its successor takes over.

The library's own multiprocess mode has files for each process id, so every worker that ever ran
leaves some behind, and each scrape reads them all. Here they belong to a slot (app.state.slots).
The format is the library's, whose MultiProcessCollector adds the files up.
"""

import fcntl
import os
import struct
import threading
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import prometheus_client.values
from prometheus_client.values import MultiProcessValue

from app.state.slots import SLOTS

_VALUE = struct.Struct("=dd")
_FILE_BYTES = {"histogram": 1024 * 1024, "counter": 64 * 1024}
_WORKER_FILE_BYTES = {**_FILE_BYTES, "gauge_livesum": 64 * 1024}
_DELIVERY_FILE_BYTES = {**_FILE_BYTES, "gauge_mostrecent": 64 * 1024}


def keep_in_slot(directory: Path, slot: int) -> None:
    """Keep all metrics that this process creates from now on in the files of `slot`.

    They continue where the slot's last process ended. Raises OSError.
    """
    _keep(directory, slot, _WORKER_FILE_BYTES)


def forget_gauges(directory: Path, slot: int) -> None:
    """Remove what the process in `slot` had when it ended, such as connections."""
    (directory / f"gauge_livesum_{slot}.db").unlink(missing_ok=True)


def keep_for_deliveries(directory: Path) -> None:
    """Keep them in the files of a slot that this process holds exclusively until it ends.

    A delivery process and its predecessor may run at the same time. Raises OSError.
    """
    slot = next(number for number in count(SLOTS + 1) if _take(directory / f"{number}.lock"))
    _keep(directory, slot, _DELIVERY_FILE_BYTES)


def _take(path: Path) -> bool:
    """Lock a file until this process ends; return False if another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True


def _keep(directory: Path, slot: int, file_bytes: Mapping[str, int]) -> None:
    for kind, size in file_bytes.items():
        _make(directory / f"{kind}_{slot}.db", size)  # as the library would call it
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)  # it looks there for each new value
    prometheus_client.values.ValueClass = _value_class(slot)


def _value_class(slot: int) -> type:
    base: Any = MultiProcessValue(process_identifier=lambda: slot)
    lock = threading.Lock()

    class Value(base):  # type: ignore[misc]
        """The library's, without its look for another process before each change.

        A request changes eleven of them, which took 55 of its calls.
        """

        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self._place = self._file._positions[self._key]

        def inc(self, amount: float) -> None:
            """Add `amount`. What is incremented may not be set, too, which has another lock."""
            with lock:
                self._value += amount
                # With its time, which only gauges have. Not by pack_into, see app.state.packed.
                place = self._place
                self._file._m[place : place + 16] = _VALUE.pack(self._value, 0.0)

    return Value


def _make(path: Path, size: int) -> None:
    if not path.exists():
        # Renamed once it is complete: an empty file, even for a moment, would fail a scrape.
        new = path.with_suffix(".new")
        with new.open("wb") as file:
            # If space ran out later, the process would be killed with SIGBUS.
            os.posix_fallocate(file.fileno(), 0, size)
        new.rename(path)
