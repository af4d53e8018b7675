"""Ends what takes its client too long: Gunicorn's `timeout` is for workers that hang, and nothing
in gthread ends a read once bytes have arrived.

The main loop shuts the socket down, which wakes the thread that waits for it.
"""

import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from heapq import nsmallest
from typing import Any

from app.server.configuration import shared_state
from app.server.gunicorn_internals.connection import Connection
from app.server.worker_metrics import current_recorder

ANSWER_GRACE_SECONDS = 1.0
PATIENCE_SECONDS = 0.5
MOST_GIVEN_UP = 32


def enforce(conn: Connection, now: float, log: Any) -> None:
    """End the request that `conn` has a thread for, if its time is up."""
    context = conn.context
    if context is None or context.deadline is None or now < context.deadline.at:
        return
    if context.deadline.request is not None and conn.waits_for_client_since is None:
        return  # the client has sent everything and must get its answer
    _end(conn, log)


def give_up(handled: Iterable[Connection], most: int, now: float, log: Any) -> None:
    """Take the threads from up to `most` clients that have kept them waiting: the slowest ones."""
    slow = [conn for conn in handled if _keeps_waiting(conn, now)]
    for conn in nsmallest(
        min(most, MOST_GIVEN_UP), slow, key=lambda each: each.bytes_per_second(now)
    ):
        _end(conn, log)


def _keeps_waiting(conn: Connection, now: float) -> bool:
    since = conn.waits_for_client_since
    return since is not None and now - since >= PATIENCE_SECONDS


def _end(conn: Connection, log: Any) -> None:
    context = conn.context
    if context is None or context.deadline is None:
        return  # it has just finished
    deadline = context.deadline
    # First only reading is ended, so that the application can answer 408; later everything.
    is_first = not deadline.expired and not deadline.answering
    deadline.expire()
    deadline.at = time.monotonic() + ANSWER_GRACE_SECONDS
    if is_first:  # counted before the client can notice
        count_timeout(conn, context.rule, log)
    with suppress(OSError):  # it may have been closed this moment
        conn.sock.shutdown(socket.SHUT_RD if is_first else socket.SHUT_RDWR)


def count_timeout(conn: Connection, rule: str, log: Any) -> None:
    """Count and log that the client's time is up."""
    shared_state.slots.count_timeout()
    recorder = current_recorder()
    if recorder:
        recorder.timeout(rule)
    log.info("A request ran out of time", extra={"peer": peer(conn.client)})


def peer(address: Any) -> str:
    """Return the host of a socket's address."""
    return str(address[0]) if address else ""  # a Unix socket's is empty
