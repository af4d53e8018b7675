"""The requests that have arrived and wait for a thread: clients take turns.

A flood of requests from one address delays a client elsewhere by one request at most. (Nagle, "On
Packet Switches with Infinite Storage", RFC 970, 1985.)
"""

from collections import deque

from app.ratelimit.client import Claims, client_of
from app.server.gunicorn_internals.connection import Connection
from app.server.gunicorn_internals.deadlines import peer

_NO_CLAIMS = Claims()


class Turns:
    """A queue for each client, for the main loop only; its length counts all that wait."""

    def __init__(self) -> None:
        self._of_client: dict[str, deque[Connection]] = {}  # whose turn is next comes first
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, conn: Connection) -> None:
        """Let `conn` wait behind the others of its client."""
        client = client_of(peer(conn.client), _NO_CLAIMS, ())
        self._of_client.setdefault(client, deque()).append(conn)
        self._count += 1

    def take(self) -> Connection:
        """Return the first request of the next client; raises StopIteration when none waits."""
        client = next(iter(self._of_client))
        waiting = self._of_client.pop(client)
        conn = waiting.popleft()
        self._count -= 1
        if waiting:  # the next turn comes after that of the others
            self._of_client[client] = waiting
        return conn
