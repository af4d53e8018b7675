"""What is known about each worker and the master while they run.

Shared memory, created before the fork. Each process writes to its own place what only it knows;
the rest is read from /proc when Prometheus asks.
"""

import gc
import mmap
import os
import resource
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.state.packed import write_packed
from app.state.slots import SLOTS

MASTER = SLOTS
PLACES = SLOTS + 1

# process id, CPU seconds of earlier processes here, collections and collected objects by generation
_PLACE = struct.Struct("=qd6q")


@dataclass(frozen=True)
class Process:
    """A running process; its counts include its predecessors in the same place, so never fall."""

    place: int
    pid: int
    earlier_cpu_seconds: float
    collections: tuple[int, ...]
    collected: tuple[int, ...]


class Processes:
    """A place for each slot, and one for the master."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, PLACES * _PLACE.size)
        self._own = MASTER
        self._children_cpu = 0.0

    def begin(self, place: int) -> None:
        """Give the calling process `place` from now on, and count its garbage collections."""
        self._own = place
        _, *rest = self._read(place)
        self._write(place, os.getpid(), *rest)
        if self._count_collection not in gc.callbacks:  # a worker inherits it from the master
            gc.callbacks.append(self._count_collection)

    def leave(self) -> None:
        """Stop counting in the calling process, a child of the master without a place."""
        if self._count_collection in gc.callbacks:
            gc.callbacks.remove(self._count_collection)

    def end(self, place: int) -> None:
        """In the master: the worker in `place` has ended, and was the last child waited for."""
        _, earlier, *rest = self._read(place)
        before, self._children_cpu = self._children_cpu, _children_cpu_seconds()
        self._write(place, 0, earlier + self._children_cpu - before, *rest)

    def end_other(self) -> None:
        """In the master: children without a place may have been waited for."""
        self._children_cpu = _children_cpu_seconds()

    def running(self) -> Iterator[Process]:
        """Yield the processes that have a place."""
        for place in range(PLACES):
            pid, earlier, *counts = self._read(place)
            if pid:
                yield Process(place, pid, earlier, tuple(counts[:3]), tuple(counts[3:]))

    def _count_collection(self, phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            values = list(self._read(self._own))
            values[2 + info["generation"]] += 1
            values[5 + info["generation"]] += info["collected"]
            self._write(self._own, *values)

    def _read(self, place: int) -> tuple[Any, ...]:
        return _PLACE.unpack_from(self._memory, place * _PLACE.size)

    def _write(self, place: int, *values: float) -> None:
        write_packed(self._memory, place * _PLACE.size, _PLACE, *values)


def _children_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
