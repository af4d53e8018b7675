import hashlib
import http.client
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from threading import Event
from typing import Any

import pytest
from support.deleter import Deleter
from support.linux_process import children, kill_process
from support.plain_mail import random_mail
from support.records import recorded_messages
from support.rounds import rounds
from support.server import NewServer, Server, wait_for

from app.storage.interface import Query
from app.storage.segments.record import LARGE_MESSAGE, MESSAGE, RECORDS, file_header, header
from app.storage.sqlite.store import SQLiteStore

MESSAGES = rounds(10_000, 1_000)
KILLS = rounds(50, 6)
MASTERS = 3  # of so many kills one hits the master
DELETERS = 5  # and one who deletes
CLIENTS = 8
ATTEMPTS = 2_000
PAUSE_SECONDS = 0.05
SEED = 7
OWN_FILES = {
    "api-token",
    "gomail.db",
    "gomail.db-shm",
    "gomail.db-wal",
    "checkpoint.lock",
    "commit.lock",
    "ended-sessions.json",
    "endpoints",
    "generation",
    "in-use.lock",
    "migrate.lock",
    "retention.lock",
    "segments",
    "settlements",
    "shutdowns.json",
    "store-id",
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
        self.receipts: dict[int, Any] = {}

    def run(self) -> None:
        """Deliver all; `receipts` has the answers, by the number of the message."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(self._deliver_first, range(MESSAGES)))

    def to_be_deleted(self) -> list[str]:
        """Return the ids of every other message that was answered."""
        known = list(self.receipts.copy().items())
        return [receipt["message_id"] for number, receipt in known if number % 2]

    def _deliver_first(self, number: int) -> None:
        self.receipts[number] = self.deliver(number)
        self.answered = next(self._answered)

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
                return answer.json()
            assert answer.status == 503, answer.body
        raise AssertionError(f"message {number} was not answered in {ATTEMPTS} attempts")


def kill_amid(server: Server, clients: Clients, deleter: Deleter, done: Event) -> Counter[str]:
    """Kill a process KILLS times, spread over all messages; return what was hit."""
    dice, hit = random.Random(SEED), Counter[str]()
    for number in range(1, KILLS + 1):
        begun = number * MESSAGES // (KILLS + 1)
        while clients.answered < begun and not done.wait(0.002):
            pass
        assert not done.is_set(), "all was answered before the last kill"
        done.wait(dice.uniform(0, 0.05))
        if number % DELETERS == 1:
            kill_process(wait_for(deleter.pid))
            hit["deleter"] += 1
        elif number % MASTERS:
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
    """SIGKILL at workers, the master and a process that deletes half of what was acknowledged.

    Each message that was acknowledged, and not deleted, is there once, whole; none that was
    deleted is. The next start leaves no byte and no file that nobody names.
    """
    server = new_server(workers=3).start()
    clients, deleter, done = Clients(server), Deleter(server.data_dir), threading.Event()
    with ThreadPoolExecutor(1) as pool, deleter.at_work(clients.to_be_deleted):
        killing = pool.submit(kill_amid, server, clients, deleter, done)
        try:
            clients.run()
        finally:
            done.set()
        hit = killing.result()
    assert hit.total() == KILLS
    assert clients.unanswered >= hit["master"], "no request was hit"
    assert deleter.confirmed
    check_stored(server, clients.receipts, deleter)

    server.kill()
    plant_leavings(server)
    server.start()
    check_stored(server, clients.receipts, deleter)
    delete_the_rest(clients, deleter)
    check_stored(server, clients.receipts, deleter)
    check_answered_alike(clients)
    server.stop()
    check_nothing_else(server)
    record_property(
        "rounds",
        ", ".join(f"{count} {name}s" for name, count in hit.items())
        + f" killed, {len(clients.receipts):,} messages acknowledged, 0 lost, 0 twice, 0 cut,"
        f" {len(deleter.confirmed):,} deleted, 0 back",
    )


def plant_leavings(server: Server) -> None:
    """Leave behind what a kill at the worst of moments does."""
    segments = server.data_dir / "segments"
    largest = max(segments.iterdir(), key=lambda path: path.stat().st_size)
    with largest.open("ab") as file:
        file.write(header(bytes.fromhex(largest.stem), MESSAGE, 0, b"{}", 1_000, 1)[:-1])
    half, begun, empty = (bytes([number]) * 16 for number in (1, 2, 3))
    content = file_header(half, LARGE_MESSAGE) + b"half a message"
    segments.joinpath(f"{half.hex()}.records").write_bytes(content)
    segments.joinpath(f"{begun.hex()}.records").write_bytes(file_header(begun, RECORDS)[:-1])
    segments.joinpath(f"{empty.hex()}.records").touch()
    (server.data_dir / "shutdowns.json.new").write_bytes(b'{"graceful": {')
    (server.data_dir / "token.new").write_bytes(b"half a tok")


def check_stored(server: Server, receipts: Mapping[int, Any], deleter: Deleter) -> None:
    """Compare every row and its bytes with what was sent and acknowledged, and not deleted."""
    with closing(SQLiteStore(server.data_dir)) as store:
        found = list(store.search(Query()))
        rows = {row.message_id: row for row in found}
        assert len(rows) == len(found)
        numbers = {receipt["message_id"]: number for number, receipt in receipts.items()}
        assert len(numbers) == len(receipts) == MESSAGES
        assert rows.keys() <= numbers.keys()
        assert numbers.keys() - rows.keys() <= deleter.asked
        assert rows.keys().isdisjoint(deleter.confirmed)
        for row in found:
            raw = message(numbers[row.message_id])
            assert store.read(row.message_id) == raw
            assert (row.size, row.sha256) == (len(raw), hashlib.sha256(raw).digest())


def delete_the_rest(clients: Clients, deleter: Deleter) -> None:
    """Delete what is due, and what was interrupted."""
    try:
        for message_id in clients.to_be_deleted():
            if message_id not in deleter.confirmed:
                assert deleter.delete([message_id])
    finally:
        deleter.kill()


def check_nothing_else(server: Server) -> None:
    """Check that each row has its record, that there is no other one, and no other file."""
    with closing(SQLiteStore(server.data_dir)) as store:
        store.erase()
        ids = sorted(row.message_id for row in store.search(Query()))
    assert sorted(recorded_messages(server.data_dir)) == ids
    assert len(ids) == MESSAGES // 2
    assert {path.name for path in server.data_dir.iterdir()} <= OWN_FILES
    assert all(path.suffix == ".records" for path in (server.data_dir / "segments").iterdir())


def check_answered_alike(clients: Clients) -> None:
    """Send some once more, as if their answers had been lost: they get the first one's id.

    Also if that was deleted: it isn't stored again.
    """
    for number in range(0, MESSAGES, MESSAGES // 50 + 1):
        again = clients.deliver(number)
        assert again["duplicate"] is True
        assert again["message_id"] == clients.receipts[number]["message_id"]
