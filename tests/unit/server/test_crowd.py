"""What may be held for connections that have no thread."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from selectors import DefaultSelector
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.server.gunicorn_internals.arrival import HELD_BYTES, Missing
from app.server.gunicorn_internals.connection import Connection
from app.server.gunicorn_internals.crowd import HELD_IN_ALL_BYTES, Crowd, Kind
from app.server.gunicorn_internals.worker import FOLLOWING_MS, Worker


class Waiting:
    """A connection on which `size` bytes have arrived."""

    def __init__(self, sock: socket.socket, size: int) -> None:
        self.sock = sock
        self.arrival = SimpleNamespace(data=bytes(size), missing=Missing.HEAD)
        self.waited_ms: list[int] = []

    def next_request(self, milliseconds: int) -> None:
        self.waited_ms.append(milliseconds)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def crowd(stack: ExitStack) -> Crowd:
    """Return a crowd for which as much is held as may be."""
    crowd = Crowd(stack.enter_context(DefaultSelector()))
    for _ in range(HELD_IN_ALL_BYTES // HELD_BYTES):
        crowd.add(new_connection(stack, HELD_BYTES), Kind.BEGINNING, lambda _: None)
    return crowd


def new_connection(stack: ExitStack, size: int) -> Connection:
    ours, theirs = socket.socketpair()
    stack.enter_context(theirs)
    return cast(Connection, Waiting(stack.enter_context(ours), size))


def test_there_is_room_until_too_much_is_held_in_all(crowd: Crowd, stack: ExitStack) -> None:
    """One byte more is too much, and its end makes room again."""
    one_more = new_connection(stack, 1)
    had_room = [crowd.has_room]
    crowd.add(one_more, Kind.BEGINNING, lambda _: None)
    had_room.append(crowd.has_room)
    crowd.remove(one_more)
    had_room.append(crowd.has_room)
    assert had_room == [True, False, True]


def test_a_thread_collects_nothing_while_there_is_no_room(crowd: Crowd, stack: ExitStack) -> None:
    """It gives the connection back to the main loop at once, instead of waiting for more."""
    worker: Any = object.__new__(Worker)
    worker.alive, worker._crowd, worker._handle_one = True, crowd, lambda _conn: True
    conn: Any = new_connection(stack, 1)
    conn.sock = SimpleNamespace(unsent=b"")
    assert worker.handle(conn)
    crowd.add(new_connection(stack, 1), Kind.BEGINNING, lambda _: None)
    assert worker.handle(conn)
    assert conn.waited_ms == [FOLLOWING_MS, 0]
