import gc
import os
import resource
import signal
import time
from collections.abc import Iterator

import pytest
from support.linux_process import in_child
from support.server import wait_for

from app.state.processes import MASTER, PLACES, Process, Processes
from app.state.slots import SLOTS

LOOKS = 1_000_000


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Return a table of which this process is the master, until the end of the test."""
    callbacks = list(gc.callbacks)
    processes = Processes()
    processes.begin(MASTER)
    processes.end_other()  # other tests have had children
    yield processes
    gc.callbacks[:] = callbacks


def in_place(processes: Processes, place: int) -> Process:
    """Return the process in `place`."""
    [found] = [each for each in processes.running() if each.place == place]
    return found


def burn(seconds: float) -> None:
    """Use the processor."""
    while time.process_time() < seconds:
        pass


def test_each_slot_has_a_place_and_the_master_one() -> None:
    """No worker's place is the master's."""
    assert PLACES == SLOTS + 1
    assert MASTER not in range(SLOTS)


def test_only_processes_that_run_have_a_place(processes: Processes) -> None:
    """A worker is seen with its own process id from its beginning to its end."""

    def work() -> None:
        processes.begin(5)
        assert in_place(processes, 5).pid == os.getpid()
        assert in_place(processes, MASTER).pid == os.getppid()

    assert [(each.place, each.pid) for each in processes.running()] == [(MASTER, os.getpid())]
    in_child(work)
    assert in_place(processes, 5).place == 5
    processes.end(5)
    assert [each.place for each in processes.running()] == [MASTER]


def children_cpu_seconds() -> float:
    """Return what all children have used that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_time_of_those_that_ended_is_summed(processes: Processes) -> None:
    """What three workers used in turn is there for the fourth; other places have their own."""

    def work() -> None:
        processes.begin(0)
        burn(0.1)

    processes.end_other()
    before = children_cpu_seconds()
    for _ in range(3):
        in_child(work)
        processes.end(0)
    used = children_cpu_seconds() - before
    processes.begin(0)
    processes.begin(1)
    assert used >= 0.3
    assert in_place(processes, 0).earlier_cpu_seconds == pytest.approx(used)
    assert in_place(processes, 1).earlier_cpu_seconds == 0


def test_the_time_of_others_is_nobodys(processes: Processes) -> None:
    """A child without a place, which the master has waited for, adds nothing to a worker."""
    in_child(lambda: burn(0.1))
    processes.end_other()
    before = children_cpu_seconds()
    in_child(lambda: processes.begin(0))
    processes.end(0)
    used = children_cpu_seconds() - before
    processes.begin(0)
    assert in_place(processes, 0).earlier_cpu_seconds == pytest.approx(used)


def test_collections_are_counted_in_their_own_place(processes: Processes) -> None:
    """Each by its generation, with what it has freed, and not in that of the master."""

    def work() -> None:
        processes.begin(2)
        gc.disable()
        loop: list[object] = []
        loop.append(loop)
        del loop
        gc.collect(2)
        gc.collect(0)

    gc.disable()
    try:
        before = in_place(processes, MASTER)
        in_child(work)
        found = in_place(processes, 2)
        assert in_place(processes, MASTER) == before
    finally:
        gc.enable()
    assert (found.collections[0], found.collections[2]) >= (1, 1)
    assert found.collected[2] >= 1


def test_collections_of_a_place_are_summed(processes: Processes) -> None:
    """What a worker has counted stays when another takes its place."""

    def work() -> None:
        processes.begin(0)
        gc.disable()
        gc.collect(2)

    for _ in range(3):
        in_child(work)
        processes.end(0)
    in_child(lambda: processes.begin(0))
    assert in_place(processes, 0).collections[2] >= 3


def test_who_leaves_counts_for_nobody(processes: Processes) -> None:
    """The collections of a child without a place aren't taken for the master's."""

    def work() -> None:
        processes.leave()
        processes.leave()
        gc.collect(2)

    gc.disable()
    try:
        before = in_place(processes, MASTER)
        in_child(work)
        assert in_place(processes, MASTER) == before
    finally:
        gc.enable()


def test_what_a_worker_writes_is_never_seen_to_fall(processes: Processes) -> None:
    """Another process that looks while it is written sees it whole from its beginning on."""
    pid = os.fork()
    if pid == 0:
        try:
            processes.begin(0)
            gc.collect(0)
            while True:
                processes.begin(0)
        finally:
            os._exit(1)
    try:
        wait_for(lambda: any(p.place == 0 and p.collections[0] for p in processes.running()))
        # Not by running(), which reads a thousand places each time.
        seen = {processes._read(0)[2:5] for _ in range(LOOKS)}
        assert len(seen) == 1
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
