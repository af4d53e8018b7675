"""Runs an endpoint, and asks it what it has received."""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from subject import HERE


@contextmanager
def sink(port: int, milliseconds: int) -> Iterator[None]:
    """Run an endpoint that answers after `milliseconds`."""
    command = [sys.executable, str(HERE / "sink.py"), str(port), str(milliseconds)]
    with subprocess.Popen(command) as process:
        try:
            wait_for_port(port)
            yield
        finally:
            process.terminate()


def wait_for_port(port: int) -> None:
    while True:
        with socket.socket() as connection:
            if connection.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)


def requests_to(port: int) -> int:
    """Return how many requests it has received."""
    found: int = figures_of(port)["requests"]
    return found


def figures_of(port: int) -> dict[str, Any]:
    """Return its figures; see sink.py."""
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        connection.request("GET", "/")
        found: dict[str, Any] = json.loads(connection.getresponse().read())
        return found
