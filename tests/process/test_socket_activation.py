import os
import signal
import sys

import pytest
from support.server import CHECKOUT, GUNICORN, NewServer, wait_for
from support.upload import MESSAGE, uploads_in_flight

# What systemd does: the socket is descriptor 3, and the environment says so (sd_listen_fds(3)).
ACTIVATE = """
import os, socket, sys

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.promise("a socket of systemd is served, and a stop loses nothing")
def test_the_socket_of_systemd_is_served_and_drained(new_server: NewServer) -> None:
    """With `mode: socket` the port is the one that was handed over, and a stop loses nothing."""
    server = new_server(mode="socket", port=1)  # nobody may listen there
    server.start((sys.executable, "-c", ACTIVATE, str(server.port), *GUNICORN), CHECKOUT)
    assert server.deliver(MESSAGE).status == 200
    with uploads_in_flight(server, 1) as [upload]:
        os.kill(server.pid, signal.SIGTERM)
        wait_for(lambda: server.request("GET", "/ready").status == 503)
        assert upload.finish().status == 200
    assert server.wait() == 0


def test_without_a_socket_the_start_is_refused(new_server: NewServer) -> None:
    """`mode: socket` outside of systemd ends with 1, and the reason."""
    server = new_server(mode="socket")
    server.launch()
    assert server.wait(20) != 0
    assert "mode: socket needs a socket from systemd" in server.errors()
