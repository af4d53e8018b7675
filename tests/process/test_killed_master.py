"""What is left when the master is killed."""

import socket
from contextlib import closing, suppress

from support.linux_process import children, lives
from support.server import Server, wait_for
from support.upload import MESSAGE, Upload


def test_the_port_is_free_at_once_and_no_message_is_lost(server: Server) -> None:
    """The workers accept nothing more, answer what they have begun, and end."""
    left = children(server.pid)
    with closing(Upload(server)) as upload:
        wait_for(lambda: server.request("GET", "/metrics").json()["active_requests"] == 2)
        server.process.kill()
        server.wait()
        wait_for(lambda: can_listen(server.port), 1)
        assert upload.finish().status == 200
    wait_for(lambda: not any(map(lives, left)), 10)
    server.start()
    assert server.deliver(MESSAGE, X_Original_Queue_Id="slow").json()["duplicate"] is True


def can_listen(port: int) -> bool:
    """Tell whether nobody has `port`."""
    with suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False
