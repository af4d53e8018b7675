"""A process that is stopped (SIGSTOP, a debugger, a frozen container) while it writes."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.outage import is_ready, is_reported_unhealthy
from support.plain_mail import plain_mail
from support.server import NewServer, wait_for

HOLD = """
import fcntl, sys
lock = open(sys.argv[1], "a")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""
LONGEST_WAIT_SECONDS = 10


@contextmanager
def stopped_writer(lock_file: Path) -> Iterator[None]:
    """Hold the lock of those who write in a process that is stopped."""
    command = [sys.executable, "-c", HOLD, str(lock_file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.kill()


def test_a_stopped_writer_does_not_hang_the_others(new_server: NewServer) -> None:
    """Mail is answered 503 in time, probes tell, and all goes on once it is gone."""
    server = new_server().start()
    assert server.deliver(plain_mail("before", b"x")).status == 200
    with stopped_writer(server.data_dir / "commit.lock"):
        wait_for(lambda: is_reported_unhealthy(server))
        began = time.monotonic()
        answer = server.deliver(plain_mail("meanwhile", b"x"))
        took = time.monotonic() - began
    assert (answer.status, answer.json()["code"]) == (503, "storage_unavailable")
    assert took < LONGEST_WAIT_SECONDS + 2
    assert "another process holds a lock" in json.dumps(server.log())
    wait_for(lambda: is_ready(server))
    after = server.deliver(plain_mail("meanwhile", b"x"))
    assert (after.status, after.json()["duplicate"]) == (200, False)
