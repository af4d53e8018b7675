"""Messages of which it is known what must be stored, and by which worker."""

import os
import signal
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager

from support.linux_process import is_stopped
from support.plain_mail import plain_mail
from support.server import Answer, Server, wait_for

from app.storage.interface import Query
from app.storage.sqlite.store import SQLiteStore


class Mail:
    """Messages to one server, of which it is known what must be stored."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.stored: dict[str, bytes] = {}
        self.count = 0
        self.log = server.data_dir.parent / "strace"

    def send(self, size: int) -> tuple[str, Answer]:
        """Deliver one message and return its queue id and the answer."""
        self.count += 1
        queue_id = f"queue{self.count}"
        raw = plain_mail(queue_id, os.urandom(size))
        answer = self.server.deliver(raw, X_Original_Queue_Id=queue_id)
        if answer.status == 200:
            self.stored[queue_id] = raw
        return queue_id, answer

    def deliver_to_each_worker(self, size: int) -> None:
        """Deliver one message to each worker, which must store it."""
        workers = self.server.worker_pids()
        for worker in workers:
            with standing_still(set(workers) - {worker}):
                _, answer = self.send(size)
            assert answer.status == 200, answer.body

    def assert_only_acknowledged_are_visible(self) -> None:
        """Compare the ids of what is stored with those of what was answered 200."""
        with closing(SQLiteStore(self.server.data_dir)) as store:
            assert {row.envelope.queue_id for row in store.search(Query())} == set(self.stored)

    def assert_all_is_whole(self) -> None:
        """Compare all stored bytes with what was sent."""
        with closing(SQLiteStore(self.server.data_dir)) as store:
            rows = list(store.search(Query()))
            assert len(rows) == len(self.stored)
            for row in rows:
                assert store.read(row.message_id) == self.stored[str(row.envelope.queue_id)]


@contextmanager
def standing_still(pids: Collection[int]) -> Iterator[None]:
    """Stop the processes `pids` for a while, so that others have to do the work."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: all(map(is_stopped, pids)))
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
