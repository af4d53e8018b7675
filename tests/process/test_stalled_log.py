"""A server whose log nobody reads any more."""

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress

import pytest
from support.server import CHECKOUT, GUNICORN, NewServer, Server, wait_for
from support.upload import MESSAGE

PIPE_BYTES = 4096
REQUESTS = 60
STOP_SECONDS = 20  # far less than until a forced end


class PipedServer:
    """A server that logs into a small pipe."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.read_end, write_end = os.pipe()
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.set_blocking(self.read_end, False)
        with server.error_file.open("ab") as errors:
            server._started = subprocess.Popen(
                GUNICORN, cwd=CHECKOUT, env=server.environment, stdout=write_end, stderr=errors
            )
        os.close(write_end)
        self.text = ""

    def read(self) -> list[str]:
        """Read what is there; return the messages of all lines so far."""
        with suppress(BlockingIOError):
            while piece := os.read(self.read_end, 65536):
                self.text += piece.decode()
        return [json.loads(line)["message"] for line in self.text.splitlines()]

    def is_ready(self) -> bool:
        """Read what is there; return whether it answers."""
        self.read()
        with suppress(OSError):
            return self.server.request("GET", "/ready").status == 200
        return False


@pytest.fixture
def piped(new_server: NewServer) -> Iterator[PipedServer]:
    """Return a running server of which the log was read until now."""
    made = PipedServer(new_server())
    wait_for(made.is_ready, 30)
    yield made
    os.close(made.read_end)


def test_a_reader_that_stalls_keeps_no_answer_and_no_end_waiting(piped: PipedServer) -> None:
    """All requests are answered, and SIGTERM ends the server in time; each line is whole."""
    server = piped.server
    for _ in range(REQUESTS):
        assert server.request("GET", "/nothing", seconds=5).status == 404
    assert server.deliver(MESSAGE).status == 200
    server.process.terminate()
    assert server.wait(STOP_SECONDS) == 0
    assert 0 < piped.read().count("GET /nothing 404") < REQUESTS, "the log didn't stall"
    assert server.errors() == ""


def test_dropped_lines_are_told_once_it_is_read_again(piped: PipedServer) -> None:
    """What is lost is counted: the lines that came and the counts are as many as the requests."""
    server = piped.server
    for _ in range(REQUESTS):
        server.request("GET", "/lost", seconds=5)
    assert piped.read().count("GET /lost 404") < REQUESTS

    def all_are_known() -> bool:
        server.request("GET", "/found", seconds=5)
        messages = piped.read()
        dropped = [int(text.split()[0]) for text in messages if " dropped: the reader" in text]
        return messages.count("GET /lost 404") + sum(dropped) == REQUESTS

    wait_for(all_are_known)
