"""Closes connections after their last answer, without a thread.

The client must have read the answer first, and what it still sends must be read: either would be
lost in a reset. So sending is ended, then everything is thrown away until the client closes.
"""

import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from app.server.gunicorn_internals.connection import Connection
from app.server.gunicorn_internals.crowd import Crowd, Kind

LINGER_SECONDS = 5.0
LINGER_BYTES = 64 * 1024 * 1024
_PIECE_BYTES = 256 * 1024


class Leaving:
    """For the main loop only; `close` ends a connection."""

    def __init__(self, crowd: Crowd, close: Callable[[Connection], None]) -> None:
        self._crowd = crowd
        self._close = close
        self._rubbish = bytearray(_PIECE_BYTES)

    def begin(self, conn: Connection) -> None:
        """Close `conn`, which is not in the crowd, as soon as its client has, or time is up."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
            return
        conn.forget_arrival()
        conn.parser = None  # it has the request that was refused in its buffer
        conn.timeout = time.monotonic() + LINGER_SECONDS
        conn.left_to_read = LINGER_BYTES
        self._crowd.add(conn, Kind.LEAVING, partial(self._on_readable, conn))

    def _on_readable(self, conn: Connection, _socket: Any) -> None:
        if conn not in self._crowd:  # it had to make room in this round of the main loop
            return
        try:
            size = conn.sock.recv_into(self._rubbish, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        conn.left_to_read -= size
        if size == 0 or conn.left_to_read <= 0:
            self._close(conn)
