import time
from types import SimpleNamespace

import pytest

from app.web.deadline import Deadline
from app.web.request_context import RequestContext


def test_the_handling_ends_the_sooner_of_the_two() -> None:
    """handler_timeout begins with the head, and never lengthens what read_timeout allows."""
    deadline = Deadline(time.monotonic() + 30)
    deadline.handle_within(25, None)
    assert deadline.at == pytest.approx(time.monotonic() + 25, abs=1)
    deadline.handle_within(60, None)
    assert deadline.at == pytest.approx(time.monotonic() + 25, abs=1)


def test_an_answer_has_its_own_time() -> None:
    """write_timeout begins with the answer, however much was left."""
    deadline = Deadline(time.monotonic() + 1)
    deadline.answer_within(30)
    assert deadline.answering
    assert deadline.at == pytest.approx(time.monotonic() + 30, abs=1)


def test_a_request_is_late_when_its_deadline_has_expired() -> None:
    """Without a deadline, outside of the server, no request is ever late."""
    deadline = Deadline(time.monotonic())
    request = RequestContext(deadline)
    assert not RequestContext().is_late()
    assert not request.is_late()
    deadline.expire()
    assert request.is_late()


def test_a_deadline_that_expires_ends_the_connection() -> None:
    """What comes late on it is never taken; before the head there is no request to tell."""
    deadline = Deadline(time.monotonic())
    deadline.expire()
    assert deadline.expired
    closed = []
    deadline.handle_within(1, SimpleNamespace(force_close=lambda: closed.append(True)))
    deadline.expire()
    assert closed == [True]
