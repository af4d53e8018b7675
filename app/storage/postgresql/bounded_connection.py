"""A connection to PostgreSQL on which nothing lasts longer than a time limit."""

import os
import socket
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen
from psycopg.errors import Diagnostic
from psycopg.pq import Format

Result = TypeVar("Result")

_WARNING = "01000"


class BinaryCursor(psycopg.Cursor[Any]):
    """Receives bytes as they are instead of as twice as many hexadecimal digits."""

    def __init__(self, connection: "BoundedConnection", **options: Any) -> None:
        super().__init__(connection, **options)
        self.format = Format.BINARY


class BoundedConnection(psycopg.Connection[Any]):
    """When the server doesn't answer within `time_limit` seconds, the connection is cut off.

    It never cancels: a COMMIT that waits for a standby would report success. `has_warned` tells
    whether the server has warned since it was set to False, as it does after somebody else
    cancelled.
    """

    time_limit: float | None = None
    has_warned = False

    def wait(
        self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None
    ) -> Result:
        """Return what `gen` returns; raises psycopg.OperationalError after the time limit."""
        limit = self.time_limit if timeout is None else timeout
        try:
            return waiting.wait(gen, self.pgconn.socket, interval=interval, timeout=limit)
        except psycopg.errors._WaitTimeout:  # documented with Connection.wait
            self._cut_off()
            message = f"the database server has not answered for {limit:g} seconds"
            raise psycopg.OperationalError(message) from None
        except KeyboardInterrupt:
            self._cut_off()
            raise

    def note_warning(self, diagnostic: Diagnostic) -> None:
        """Take a notice of the server."""
        if diagnostic.sqlstate == _WARNING:
            self.has_warned = True

    def _cut_off(self) -> None:
        # Closing alone would first send a farewell, which may block.
        with suppress(OSError), socket.socket(fileno=os.dup(self.pgconn.socket)) as connected:
            connected.shutdown(socket.SHUT_RDWR)
        self.pgconn.finish()
