"""The connections that have no thread: they wait for their client, or are about to be closed.

There is always room for one more: it is made by closing the connection that has waited longest, of
the most frequent kind. So a stranger with many connections loses their own.
"""

from collections.abc import Callable, Iterator
from enum import Enum
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector
from typing import Any

from app.server.gunicorn_internals.arrival import HELD_BYTES
from app.server.gunicorn_internals.connection import Connection

HELD_IN_ALL_BYTES = 8 * 1024 * 1024
HELD_BY_RIGHT_BYTES = 4 * 1024


class Kind(Enum):
    """What a connection waits for."""

    BEGINNING = "the head of a request"
    UPLOADING = "a thread, or the rest of a body"
    ANSWERED = "its client to take the answer"
    IDLE = "another request"
    LEAVING = "its end"


class Crowd:
    """All connections without a thread, each with the kind it has; for the main loop only."""

    def __init__(self, poller: BaseSelector) -> None:
        self._poller = poller
        self._of_kind: dict[Kind, dict[Connection, None]] = {kind: {} for kind in Kind}
        self._kinds: dict[Connection, Kind] = {}
        self._held: dict[Connection, int] = {}
        self._held_in_all = 0

    def __len__(self) -> int:
        return len(self._kinds)

    def __contains__(self, conn: Connection) -> bool:
        return conn in self._kinds

    def kind(self, conn: Connection) -> Kind:
        """Return what `conn` waits for."""
        return self._kinds[conn]

    def of_kind(self, kind: Kind) -> dict[Connection, None]:
        """Return the connections of `kind`, the oldest first."""
        return self._of_kind[kind]

    def add(self, conn: Connection, kind: Kind, on_event: Callable[[Any], None]) -> None:
        """Let `conn` wait; call `on_event` when something arrives, or the answer can be sent."""
        event = EVENT_WRITE if kind is Kind.ANSWERED else EVENT_READ
        self._poller.register(conn.sock, event, on_event)
        self._kinds[conn] = kind
        self._of_kind[kind][conn] = None
        self.weigh(conn)

    def change(self, conn: Connection, kind: Kind) -> None:
        """Let `conn` be of another kind, as its newest."""
        del self._of_kind[self._kinds[conn]][conn]
        self._kinds[conn] = kind
        self._of_kind[kind][conn] = None

    def weigh(self, conn: Connection) -> None:
        """Note how many bytes are held for `conn`."""
        size = len(conn.arrival.data)
        self._held_in_all += size - self._held.get(conn, 0)
        self._held[conn] = size

    @property
    def has_room(self) -> bool:
        """Whether more than HELD_BY_RIGHT_BYTES may be held for a connection; threads may ask."""
        return self._held_in_all <= HELD_IN_ALL_BYTES

    def holds_too_much(self, conn: Connection) -> bool:
        """Return whether nothing more may be held for `conn`."""
        size = self._held[conn]
        return size >= HELD_BYTES or (not self.has_room and size > HELD_BY_RIGHT_BYTES)

    def ignore(self, conn: Connection) -> None:
        """Don't look at what arrives on `conn` any more."""
        if conn.sock in self._poller.get_map():
            self._poller.unregister(conn.sock)

    def remove(self, conn: Connection) -> None:
        """Forget `conn`."""
        self.ignore(conn)
        del self._of_kind[self._kinds.pop(conn)][conn]
        self._held_in_all -= self._held.pop(conn)

    def expired(self, now: float) -> Iterator[Connection]:
        """Yield the connections whose time is up."""
        for conn in list(self._kinds):
            if now >= conn.timeout:
                yield conn

    def to_close(self) -> Connection | None:
        """Return the connection that has to make room for another, if there is any."""
        largest = max(self._of_kind.values(), key=len)
        return next(iter(largest), None)

    def next_upload(self) -> Connection:
        """Return the upload that gets the next thread: the one with the most bytes so far."""
        return max(self._of_kind[Kind.UPLOADING], key=self._held.__getitem__)

    def cap(self, kind: Kind, at: float) -> None:
        """Let no connection of `kind` wait longer than until `at`."""
        for conn in self._of_kind[kind]:
            conn.timeout = min(conn.timeout, at)
