"""Readers that page by cursor through what several hosts store."""

import threading
from collections.abc import Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle
from typing import Any

from support.hosts import AUTHORIZATION
from support.server import Server, wait_for

PAGE = 20


class CursorReader:
    """Reads on and on from where it was, from one host after the other."""

    def __init__(self, hosts: Sequence[Server], wait: int = 0) -> None:
        self._hosts = cycle(hosts)
        self._wait = wait
        self._cursor = ""
        self.is_done = threading.Event()
        self.seen: list[str] = []

    def read(self) -> list[dict[str, Any]]:
        """Return what has come since the last call, nothing while the host can't tell."""
        path = f"/messages?after={self._cursor}&limit={PAGE}&wait={self._wait}"
        answer = next(self._hosts).request("GET", path, headers=AUTHORIZATION)
        if answer.status == 503:
            return []
        page = answer.json()
        self._cursor = page["next"]
        messages: list[dict[str, Any]] = page["messages"]
        self.seen += [each["id"] for each in messages]
        return messages

    def read_all(self) -> None:
        """Read until it is done, and then what is left."""
        while not self.is_done.is_set():
            self.read()
        while self.read():
            pass

    def check_seen_once(self, message_ids: Set[str]) -> None:
        """Check that it sees these messages, each once, and no others."""
        # The last ones aren't shown while an older transaction is open.
        wait_for(lambda: not self.read() and len(self.seen) >= len(message_ids))
        assert set(self.seen) == message_ids
        assert len(self.seen) == len(message_ids), "a message was seen twice"


@contextmanager
def reading(*readers: CursorReader) -> Iterator[None]:
    """Have all of them read until the end."""
    with ThreadPoolExecutor(len(readers)) as pool:
        running: list[Future[None]] = [pool.submit(each.read_all) for each in readers]
        try:
            yield
        finally:
            for reader in readers:
                reader.is_done.set()
        for each in running:
            each.result()
