"""How long a thread collects the request that follows on its connection."""

import time
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from app.server.gunicorn_internals.connection import Connection


def test_a_client_that_sends_in_tiny_pieces_keeps_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is always another byte, and each takes a millisecond."""
    conn: Any = object.__new__(Connection)
    conn.cfg = SimpleNamespace(limit_request_line=4094)
    conn.parser = SimpleNamespace(unreader=SimpleNamespace(take_buffered=lambda: b""))
    conn.has_ended = False
    conn.receive = lambda _most: conn.arrival.add(b"x")
    conn._has_more = lambda _until: True
    milliseconds = count()
    with monkeypatch.context() as context:
        context.setattr(time, "monotonic", lambda: next(milliseconds) / 1000)
        conn.next_request(10)
    assert len(conn.arrival.data) == 10
