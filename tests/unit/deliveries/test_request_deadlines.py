"""Sockets are shut when the time of their request is over, and not before."""

import socket
import threading
import time
from contextlib import ExitStack, closing

import pytest
from support.server import wait_for

from app.deliveries.deadlines import DeadlineWatch


def test_what_waits_ends_at_the_deadline() -> None:
    """Each at its own, whichever was guarded first."""
    watch = DeadlineWatch()
    ended: dict[float, float] = {}

    def wait(seconds: float) -> None:
        ours, theirs = socket.socketpair()
        with closing(ours), closing(theirs), watch.guard(ours, time.monotonic() + seconds):
            began = time.monotonic()
            assert ours.recv(1) == b""
            ended[seconds] = time.monotonic() - began

    threads = [threading.Thread(target=wait, args=(each,)) for each in (0.6, 0.2, 0.4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert list(ended) == [0.2, 0.4, 0.6]
    for seconds, took in ended.items():
        assert seconds - 0.05 < took < seconds + 2


def test_what_writes_ends_too() -> None:
    """It gets an error, and no more can be sent."""
    ours, theirs = socket.socketpair()
    until = time.monotonic() + 0.1
    with closing(ours), closing(theirs), DeadlineWatch().guard(ours, until):
        with pytest.raises(BrokenPipeError):
            ours.sendall(bytes(64 * 1024 * 1024))
        assert time.monotonic() >= until


def test_a_request_that_is_done_is_left_alone() -> None:
    """Its connection can be kept."""
    watch = DeadlineWatch()
    ours, theirs = socket.socketpair()
    other, others = socket.socketpair()
    with closing(ours), closing(theirs), closing(other), closing(others):
        with watch.guard(ours, time.monotonic() + 0.05):
            pass
        with watch.guard(other, time.monotonic() + 0.1):
            assert other.recv(1) == b""  # what was to be shut earlier would have been
        theirs.send(b"!")
        assert ours.recv(1) == b"!"


def test_many_have_one_thread() -> None:
    """And it waits for nothing when there is none."""
    watch = DeadlineWatch()
    before = threading.active_count()
    with ExitStack() as stack:
        for _ in range(50):
            ours, theirs = socket.socketpair()
            stack.enter_context(closing(ours))
            stack.enter_context(closing(theirs))
            stack.enter_context(watch.guard(ours, time.monotonic() + 60))
        assert threading.active_count() == before + 1


def test_a_request_in_flight_keeps_its_deadline() -> None:
    """Also when everything is closed meanwhile; then the thread ends."""
    before = threading.active_count()
    watch = DeadlineWatch()
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs), watch.guard(ours, time.monotonic() + 0.2):
        watch.close()
        assert ours.recv(1) == b""
    wait_for(lambda: threading.active_count() == before)
