import gc
import os
import resource
import signal
import time

import pytest
from support.linux_process import in_child

from app.state.processes import MASTER, PLACES, Process, Processes
from app.state.slots import SLOTS

LOOKS = 100_000


@pytest.fixture
def processes():
    """Return a table of which this process is the master, until the end of the test."""
    callbacks = list(gc.callbacks)
    processes = Processes()
    processes.begin(MASTER)
    processes.end_other()  # other tests have had children
    yield processes
    gc.callbacks[:] = callbacks


def in_place(processes, place):
    """Return the process in `place`, None when there is none."""
    return next((each for each in processes.running() if each.place == place), None)


def burn(seconds):
    """Use the processor."""
    while time.process_time() < seconds:
        pass


def test_each_slot_has_a_place_and_the_master_one():
    """No worker's place is the master's."""
    assert PLACES == SLOTS + 1
    assert MASTER not in range(SLOTS)


def test_only_processes_that_run_have_a_place(processes):
    """A worker is seen with its own process id from its beginning to its end."""

    def work():
        processes.begin(5)
        assert in_place(processes, 5).pid == os.getpid()
        assert in_place(processes, MASTER).pid == os.getppid()

    assert [(each.place, each.pid) for each in processes.running()] == [(MASTER, os.getpid())]
    in_child(work)
    assert in_place(processes, 5) is not None
    processes.end(5)
    assert [each.place for each in processes.running()] == [MASTER]


def children_cpu_seconds():
    """Return what all children have used that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_time_of_those_that_ended_is_summed(processes):
    """What three workers used in turn is there for the fourth; other places have their own."""

    def work():
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


def test_the_time_of_others_is_nobodys(processes):
    """A child without a place, which the master has waited for, adds nothing to a worker."""
    in_child(lambda: burn(0.1))
    processes.end_other()
    before = children_cpu_seconds()
    in_child(lambda: processes.begin(0))
    processes.end(0)
    used = children_cpu_seconds() - before
    processes.begin(0)
    assert in_place(processes, 0).earlier_cpu_seconds == pytest.approx(used)


def test_collections_are_counted_in_their_own_place(processes):
    """Each by its generation, with what it has freed, and not in that of the master."""

    def work():
        processes.begin(2)
        gc.disable()
        loop = []
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


def test_collections_of_a_place_are_summed(processes):
    """What a worker has counted stays when another takes its place."""

    def work():
        processes.begin(0)
        gc.disable()
        gc.collect(2)

    for _ in range(3):
        in_child(work)
        processes.end(0)
    in_child(lambda: processes.begin(0))
    assert in_place(processes, 0).collections[2] >= 3


def test_who_leaves_counts_for_nobody(processes):
    """The collections of a child without a place aren't taken for the master's."""

    def work():
        processes.leave()
        processes.leave()
        gc.collect(2)

    gc.disable()
    try:
        before: Process = in_place(processes, MASTER)
        in_child(work)
        assert in_place(processes, MASTER) == before
    finally:
        gc.enable()


def test_what_a_worker_writes_is_never_seen_to_fall(processes):
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
        seen = [in_place(processes, 0) for _ in range(LOOKS)]
        begun = seen[LOOKS // 2 :]
        assert None not in begun
        assert {each.collections for each in begun} == {seen[-1].collections}
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
