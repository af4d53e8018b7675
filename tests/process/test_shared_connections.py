"""How the workers of a real server share the connections of clients that keep them."""

import os
import signal
from contextlib import ExitStack
from pathlib import Path

from support.linux_process import is_stopped
from support.server import NewServer, Server, wait_for

CONNECTIONS = 40
REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def sockets_of(pid: int) -> int:
    """Return how many sockets the process `pid` has open."""
    return sum(each.is_socket() for each in Path(f"/proc/{pid}/fd").iterdir())


def connect(server: Server, stack: ExitStack) -> None:
    """Open CONNECTIONS connections, and get an answer on each."""
    for _ in range(CONNECTIONS):
        connection = stack.enter_context(server.connect())
        connection.sendall(REQUEST)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_the_worker_with_fewer_connections_takes_the_next(new_server: NewServer) -> None:
    """One that was stopped has none; then it gets nearly all, and no client waits meanwhile."""
    server = new_server(workers=2).start()
    pids = server.worker_pids()
    before = {pid: sockets_of(pid) for pid in pids}
    stopped, running = pids
    with ExitStack() as stack:
        os.kill(stopped, signal.SIGSTOP)
        stack.callback(os.kill, stopped, signal.SIGCONT)
        wait_for(lambda: is_stopped(stopped))
        connect(server, stack)
        assert sockets_of(running) == before[running] + CONNECTIONS
        os.kill(stopped, signal.SIGCONT)
        wait_for(lambda: not is_stopped(stopped))
        connect(server, stack)
        of_stopped = sockets_of(stopped) - before[stopped]
    assert of_stopped > CONNECTIONS * 0.7
