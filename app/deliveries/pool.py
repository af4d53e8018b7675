"""Keeps idle connections to one endpoint."""

import threading
import time
from collections.abc import Callable, Sequence

from app.deliveries.connection import Connection

KEPT_SECONDS = 30.0
"""Below the time after which a firewall may silently drop an idle connection."""


class Pool:
    """Idle connections to one endpoint, each lent to one request at a time; safe for threads."""

    def __init__(self, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep at most `size` connections; `clock` returns seconds."""
        self._size = size
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: list[tuple[float, Connection]] = []  # the most recently used one is last
        self._is_closed = False

    def take(self, addresses: Sequence[str]) -> Connection | None:
        """Return the most recently used connection to one of `addresses`, None if there is none.

        Closes those that are too old, closed by the endpoint, or have received surplus bytes.
        """
        self._drop_old()
        while (connection := self._pop(addresses)) is not None:
            if connection.is_reusable:
                return connection
            connection.close()
        return None

    def keep(self, connection: Connection) -> None:
        """Keep a connection whose answer was read to the end, unless it has surplus bytes."""
        with self._lock:
            has_room = len(self._kept) < self._size
            if not self._is_closed and not connection.has_surplus and has_room:
                self._kept.append((self._clock(), connection))
                return
        connection.close()

    def close(self) -> None:
        """Close the idle connections now, and those in use when they are returned."""
        with self._lock:
            self._is_closed = True
            kept, self._kept = self._kept, []
        _close(kept)

    def _drop_old(self) -> None:
        oldest = self._clock() - KEPT_SECONDS
        with self._lock:
            old = [each for each in self._kept if each[0] < oldest]
            del self._kept[: len(old)]
        _close(old)

    def _pop(self, addresses: Sequence[str]) -> Connection | None:
        with self._lock:
            for place in reversed(range(len(self._kept))):
                if self._kept[place][1].address in addresses:
                    return self._kept.pop(place)[1]
        return None


def _close(kept: Sequence[tuple[float, Connection]]) -> None:
    for _, connection in kept:
        connection.close()
