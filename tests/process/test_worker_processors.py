"""Where the workers of a real server may run."""

import os
import signal

import pytest
from support.server import NewServer, Server, wait_for

PROCESSORS = os.sched_getaffinity(0)

pytestmark = pytest.mark.skipif(len(PROCESSORS) < 2, reason="there is one processor only")


def processors_of(server: Server) -> list[list[int]]:
    """Return the processors that each worker may use, in a list without order."""
    return sorted(sorted(os.sched_getaffinity(pid)) for pid in server.worker_pids())


def test_each_worker_stays_on_a_processor(new_server: NewServer) -> None:
    """With as many workers as processors; a successor, and a reload's workers, spread as well."""
    server = new_server(workers=len(PROCESSORS)).start()
    own = sorted([processor] for processor in PROCESSORS)
    assert processors_of(server) == own
    victim = server.worker_pids()[0]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: victim not in server.worker_pids() and processors_of(server) == own)
    before = set(server.worker_pids())
    os.kill(server.pid, signal.SIGHUP)
    wait_for(lambda: not before & set(server.worker_pids()) and processors_of(server) == own, 20)


def test_master_and_metrics_may_run_anywhere(server: Server) -> None:
    """They have to answer while the workers are busy."""
    assert os.sched_getaffinity(server.pid) == PROCESSORS
    pid = server.metrics_pid()
    assert pid is not None
    assert os.sched_getaffinity(pid) == PROCESSORS


def test_fewer_workers_than_processors_may_run_anywhere(new_server: NewServer) -> None:
    """The kernel moves them to where there is room."""
    server = new_server(workers=1).start()
    assert processors_of(server) == [sorted(PROCESSORS)]
