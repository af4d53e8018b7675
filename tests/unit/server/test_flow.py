import time
from contextvars import copy_context
from types import SimpleNamespace

import pytest

from app.server import flow
from app.server.flow import Deadline


def test_the_handling_ends_the_sooner_of_the_two():
    """handler_timeout begins with the head, and never lengthens what read_timeout allows."""
    deadline = Deadline(time.monotonic() + 30)
    deadline.handle_within(25, None)
    assert deadline.at == pytest.approx(time.monotonic() + 25, abs=1)
    deadline.handle_within(60, None)
    assert deadline.at == pytest.approx(time.monotonic() + 25, abs=1)


def test_an_answer_has_its_own_time():
    """write_timeout begins with the answer, however much was left."""
    deadline = Deadline(time.monotonic() + 1)
    deadline.answer_within(30)
    assert deadline.answering
    assert deadline.at == pytest.approx(time.monotonic() + 30, abs=1)


def test_a_request_is_late_when_its_deadline_has_expired():
    """Without a deadline, outside of the server, no request is ever late."""

    def late(expired):
        deadline = Deadline(0)
        deadline.expired = expired
        flow.deadline.set(deadline)
        return flow.is_late()

    assert flow.is_late() is False
    assert copy_context().run(late, False) is False
    assert copy_context().run(late, True) is True


def test_a_deadline_that_expires_ends_the_connection():
    """What comes late on it is never taken; before the head there is no request to tell."""
    deadline = Deadline(time.monotonic())
    deadline.expire()
    assert deadline.expired
    closed = []
    deadline.handle_within(1, SimpleNamespace(force_close=lambda: closed.append(True)))
    deadline.expire()
    assert closed == [True]
