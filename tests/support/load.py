"""Clients that deliver one message after the other while something happens to the server."""

import http.client
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Self

from support.server import Server
from support.upload import MESSAGE

from app.storage.interface import Query
from app.storage.sqlite.store import SQLiteStore

CLIENTS = 8


class Load:
    """Some clients, half of which keep their connections, that deliver until the end."""

    def __init__(self, server: Server, clients: int = CLIENTS, name: str = "load") -> None:
        self._clients = clients
        self._name = name
        self._port = server.port
        self._fields = {
            "Authorization": f"Bearer {server.token}",
            "Content-Type": "message/rfc822",
        }
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(clients)
        self._running: list[Future[None]] = []
        self.acknowledged: list[str] = []
        self.failures: list[tuple[str, str | bytes]] = []

    def __enter__(self) -> Self:
        self._running = [self._pool.submit(self._run, number) for number in range(self._clients)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown()
        for client in self._running:
            client.result()  # none has ended by a failure of its own

    def _run(self, client: int) -> None:
        count = 0
        while not self._stop.is_set():
            with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)) as new:
                is_open = True
                while is_open and not self._stop.is_set():
                    count += 1
                    is_open = (
                        self._deliver(new, f"{self._name}-{client}-{count}") and client % 2 == 0
                    )

    def _deliver(self, connection: http.client.HTTPConnection, queue_id: str) -> bool:
        """Return whether the connection can be used again."""
        fields = self._fields | {"X-Original-Queue-Id": queue_id}
        try:
            connection.request("POST", "/mail/inbound", MESSAGE, fields)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.failures.append((queue_id, repr(error)))
            return False
        if answer.status == 200:
            self.acknowledged.append(queue_id)
        else:
            self.failures.append((queue_id, body))
        return not answer.will_close


def stored_queue_ids(server: Server) -> list[str]:
    """Return the queue id of each stored message."""
    with closing(SQLiteStore(server.data_dir)) as store:
        return sorted(str(row.envelope.queue_id) for row in store.search(Query()))
