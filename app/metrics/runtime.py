"""Metrics about the Python processes: each worker and the master."""

import platform
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import Metric as Family
from prometheus_client import ProcessCollector

from app.metrics import catalog
from app.metrics.families import family
from app.state.processes import MASTER, Process, Processes

_FROM_PROC = {
    "process_resident_memory_bytes": catalog.RESIDENT_MEMORY,
    "process_cpu_seconds_total": catalog.CPU_SECONDS,
    "process_open_fds": catalog.OPEN_FDS,
    "process_start_time_seconds": catalog.START_TIME,
}


def runtime_families(processes: Processes) -> Iterable[Family]:
    """Return the families for all running processes."""
    families = {metric: family(metric) for metric in _RUNTIME}
    for process in processes.running():
        worker = "master" if process.place == MASTER else str(process.place)
        for metric, labels, value in _samples(process):
            families[metric].add_sample(metric.name, {**labels, "worker": worker}, value)
    return families.values()


def _samples(process: Process) -> Iterator[tuple[catalog.Metric, dict[str, str], float]]:
    python = {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
    }
    yield catalog.PYTHON_INFO, python, 1
    for generation, count in enumerate(process.collections):
        yield catalog.GC_COLLECTIONS, {"generation": str(generation)}, count
    for generation, count in enumerate(process.collected):
        yield catalog.GC_OBJECTS_COLLECTED, {"generation": str(generation)}, count
    with suppress(OSError):  # it has just ended
        yield catalog.THREADS, {}, len(list(Path(f"/proc/{process.pid}/task").iterdir()))
    for found in ProcessCollector(pid=lambda: process.pid, registry=None).collect():
        for sample in found.samples:
            metric = _FROM_PROC.get(sample.name)
            if metric is not None:
                earlier = process.earlier_cpu_seconds if metric is catalog.CPU_SECONDS else 0
                yield metric, {}, sample.value + earlier


_RUNTIME = (
    catalog.PYTHON_INFO,
    catalog.GC_COLLECTIONS,
    catalog.GC_OBJECTS_COLLECTED,
    catalog.THREADS,
    *_FROM_PROC.values(),
)
