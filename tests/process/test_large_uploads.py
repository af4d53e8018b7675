"""What large messages that arrive at the same time cost in memory."""

import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.linux_process import proportional_bytes
from support.server import NewServer

UPLOADS, ROUNDS = 8, 2
MESSAGE = b"From: a@example.com\r\nTo: b@example.com\r\n\r\n".ljust(25 * 1024 * 1024 - 1024, b"x")
MOST_BYTES = 64 * 1024 * 1024


@pytest.mark.promise("eight messages of 25 MiB at once take less than 64 MiB of memory")
def test_large_messages_are_streamed(new_server: NewServer) -> None:
    """Each goes to disk as it comes, and none is held in memory as a whole."""
    server = new_server().start()
    assert server.deliver(b"From: a@example.com\r\nTo: b@example.com\r\n\r\n").status == 200
    workers = server.worker_pids()
    idle = peak = memory(workers)
    with ThreadPoolExecutor(UPLOADS) as clients:
        keys = [f"large {number}" for number in range(UPLOADS * ROUNDS)]
        uploads = [clients.submit(server.deliver, MESSAGE, Idempotency_Key=key) for key in keys]
        while not all(upload.done() for upload in uploads):
            peak = max(peak, memory(workers))
            time.sleep(0.01)
    assert [upload.result().status for upload in uploads] == [200] * len(keys)
    assert peak - idle < MOST_BYTES


def memory(pids: Collection[int]) -> int:
    return sum(map(proportional_bytes, pids))
