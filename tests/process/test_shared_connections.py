"""How the workers of a real server share the connections of a client that keeps them."""

import os
import signal
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.linux_process import is_stopped, waits
from support.server import NewServer, Server, wait_for

CONNECTIONS = 40

pytestmark = pytest.mark.alone  # a worker that gets no CPU time is taken for one that is stopped


def sockets_of(pid: int) -> int:
    """Return how many sockets the process `pid` has open."""
    return sum(each.is_socket() for each in Path(f"/proc/{pid}/fd").iterdir())


def connect(server: Server, pids: Collection[int], stack: ExitStack) -> None:
    """Open CONNECTIONS connections, one after the other, on which nothing is sent yet."""
    before = sum(map(sockets_of, pids))
    for number in range(1, CONNECTIONS + 1):
        stack.enter_context(server.connect())
        wait_for_sockets(pids, before + number)


def wait_for_sockets(pids: Collection[int], count: int) -> None:
    wait_for(lambda: sum(map(sockets_of, pids)) == count)


def test_the_worker_with_less_to_do_accepts_more(new_server: NewServer) -> None:
    """One that was stopped has no connection yet: it gets most of those that come next."""
    server = new_server(workers=2).start()
    pids = stopped, running = sorted(wait_for(server.settled_workers))
    wait_for(lambda: sockets_of(stopped) == sockets_of(running))  # those of the start are closed
    before = sockets_of(running)
    with ExitStack() as stack:
        os.kill(stopped, signal.SIGSTOP)
        stack.callback(os.kill, stopped, signal.SIGCONT)
        wait_for(lambda: is_stopped(stopped))
        connect(server, pids, stack)
        assert sockets_of(running) == before + CONNECTIONS
        waits_before = waits(stopped)
        os.kill(stopped, signal.SIGCONT)
        wait_for(lambda: waits(stopped) > waits_before)
        connect(server, pids, stack)
        assert sockets_of(stopped) - before > CONNECTIONS * 0.7
