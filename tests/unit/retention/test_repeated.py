import errno

import pytest
from support.clock import Clock

from app.errors import StorageUnavailable
from app.retention.repeated import Repeated


class Work:
    """Counts how often it is done; fails as it is told."""

    def __init__(self) -> None:
        self.count = 0
        self.error: Exception | None = None

    def __call__(self) -> None:
        self.count += 1
        if self.error is not None:
            raise self.error


def test_it_is_done_at_once_and_then_in_intervals() -> None:
    """The interval begins when the work has ended."""
    timer, work = Clock(100.0), Work()
    repeated = Repeated("It fails", work, 20, timer)
    counts = []
    for timer.now in (100.0, 119.9, 120.0, 139.9, 140.0):
        repeated.do_if_due()
        counts.append(work.count)
    assert counts == [1, 1, 2, 2, 3]


def test_a_failure_is_logged_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """One line for each row of failures, with the reason; it goes on after each of them."""
    timer, work = Clock(0.0), Work()
    repeated = Repeated("It fails", work, 20, timer)
    unavailable = StorageUnavailable()
    unavailable.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    for error in (unavailable, OSError(errno.EIO, "other"), None, unavailable):
        work.error = error
        repeated.do_if_due()
        timer.now += 20
    assert work.count == 4
    line = "It fails: [Errno 28] No space left on device. Trying again."
    assert caplog.messages == [line, line]


def test_a_fault_of_the_program_is_not_hidden() -> None:
    """Only what a disk may do is expected."""
    work = Work()
    work.error = ValueError("a fault")
    with pytest.raises(ValueError, match="a fault"):
        Repeated("It fails", work, 20, Clock(0.0)).do_if_due()
