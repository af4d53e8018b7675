import hashlib
import http.client
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from threading import Event
from typing import Any

import pytest
from support.linux_process import children, kill_process
from support.plain_mail import random_mail
from support.rounds import rounds
from support.server import NewServer, Server, wait_for

from app.storage.interface import Query
from app.storage.sqlite.store import SQLiteStore

MESSAGES = rounds(10_000, 1_000)
KILLS = rounds(50, 6)
MASTERS = 3  # of so many kills one hits the master
CLIENTS = 8
ATTEMPTS = 2_000
PAUSE_SECONDS = 0.05
SEED = 7
OWN_FILES = {
    "gomail.db",
    "gomail.db-shm",
    "gomail.db-wal",
    "checkpoint.lock",
    "commit.lock",
    "migrate.lock",
    "segments",
    "shutdowns.json",
    "token",
}


def message(number: int) -> bytes:
    """Return a message of its own for each number; one in 50 is larger than 1 MiB."""
    return random_mail(number, one_large_in=50, small_bytes=20_000)


class Clients:
    """Some clients that share MESSAGES, and send each until it is answered 200."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._answered = count(1)
        self.answered = 0
        self.unanswered = 0

    def run(self) -> list[Any]:
        """Return the answers, one for each number."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            return list(pool.map(self.deliver, range(MESSAGES)))

    def deliver(self, number: int) -> Any:
        """Send as a client that knows no better: again, with the same key, until it is told."""
        raw = message(number)
        for _ in range(ATTEMPTS):
            try:
                answer = self._server.deliver(raw, Idempotency_Key=f"key-{number}")
            except (OSError, http.client.HTTPException):
                self.unanswered += 1
                threading.Event().wait(PAUSE_SECONDS)
                continue
            if answer.status == 200:
                self.answered = next(self._answered)
                return answer.json()
            assert answer.status == 503, answer.body
        raise AssertionError(f"message {number} was not answered in {ATTEMPTS} attempts")


def kill_amid(server: Server, clients: Clients, done: Event) -> Counter[str]:
    """Kill a worker or the master KILLS times, spread over all messages; return what was hit."""
    dice, hit = random.Random(SEED), Counter[str]()
    for number in range(1, KILLS + 1):
        begun = number * MESSAGES // (KILLS + 1)
        while clients.answered < begun and not done.wait(0.002):
            pass
        assert not done.is_set(), "all was answered before the last kill"
        done.wait(dice.uniform(0, 0.05))
        if number % MASTERS:
            kill_process(dice.choice(wait_for(server.worker_pids)))
            hit["worker"] += 1
        else:
            orphans = children(server.pid)
            kill_process(server.pid)
            server.wait()
            # Its workers are given no time to end: they may write while the next start sweeps.
            server.start()
            hit["master"] += 1
            assert not set(orphans) & set(children(server.pid))
    return hit


@pytest.mark.promise("no kill loses, doubles or cuts an acknowledged message")
def test_no_kill_loses_doubles_or_cuts_a_message(
    new_server: NewServer, record_property: Callable[[str, object], None]
) -> None:
    """SIGKILL at workers and the master: each acknowledged message is there once, whole.

    No row is there beside them. The next start leaves no byte and no file that nobody names.
    """
    server = new_server(workers=3).start()
    clients, done = Clients(server), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(kill_amid, server, clients, done)
        try:
            receipts = clients.run()
        finally:
            done.set()
        hit = killing.result()
    assert hit["worker"] + hit["master"] == KILLS
    assert clients.unanswered >= hit["master"], "no request was hit"
    check_stored(server, receipts)

    server.kill()
    plant_leavings(server)
    server.start()
    check_stored(server, receipts)
    check_nothing_else(server)
    check_answered_alike(clients, receipts)
    record_property(
        "rounds",
        f"{hit['worker']} workers and {hit['master']} masters killed,"
        f" {len(receipts):,} messages acknowledged, 0 lost, 0 twice, 0 cut",
    )


def plant_leavings(server: Server) -> None:
    """Leave behind what a kill at the worst of moments does."""
    segments = server.data_dir / "segments"
    largest = max(segments.iterdir(), key=lambda path: path.stat().st_size)
    with largest.open("ab") as file:
        file.write(b"half a message")
    (segments / f"{'0' * 32}.segment").write_bytes(b"a message without a row")
    (segments / f"{'1' * 32}.segment").touch()
    (server.data_dir / "shutdowns.json.new").write_bytes(b'{"graceful": {')
    (server.data_dir / "token.new").write_bytes(b"half a tok")


def check_stored(server: Server, receipts: Sequence[Any]) -> None:
    """Compare every row and its bytes with what was sent and acknowledged."""
    with closing(SQLiteStore(server.data_dir)) as store:
        rows = {row.message_id: row for row in store.search(Query())}
        acknowledged = Counter(receipt["message_id"] for receipt in receipts)
        assert acknowledged == Counter(dict.fromkeys(rows, 1))
        for number, receipt in enumerate(receipts):
            row, raw = rows[receipt["message_id"]], message(number)
            assert store.read(row.message_id) == raw
            assert (row.size, row.sha256) == (len(raw), hashlib.sha256(raw).digest())


def check_nothing_else(server: Server) -> None:
    """Check that segments are as large as their rows say, and that no other file is there."""
    with closing(SQLiteStore(server.data_dir)) as store:
        bytes_of_rows = sum(row.size for row in store.search(Query()))
    sizes = {path.name: path.stat().st_size for path in (server.data_dir / "segments").iterdir()}
    assert sum(sizes.values()) == bytes_of_rows
    assert 0 not in sizes.values()
    assert {path.name for path in server.data_dir.iterdir()} <= OWN_FILES


def check_answered_alike(clients: Clients, receipts: Sequence[Any]) -> None:
    """Send some once more, as if their answers had been lost: they get the first one's id."""
    for number in range(0, MESSAGES, MESSAGES // 50):
        again = clients.deliver(number)
        assert again["duplicate"] is True
        assert again["message_id"] == receipts[number]["message_id"]
