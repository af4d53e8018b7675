import hashlib
import http.client
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.linux_process import kill_process
from support.plain_mail import random_mail
from support.records import recorded_messages
from support.rounds import rounds
from support.server import NewServer, Server, wait_for

from app.storage.interface import Query
from app.storage.sqlite.store import SQLiteStore

MESSAGES = rounds(1000, 300)
CLIENTS = 8
ATTEMPTS = 200
PAUSE_SECONDS = 0.05
MIB = 1024 * 1024
MESSAGES_PER_KILL = 40

pytestmark = pytest.mark.thorough


def message(number: int) -> bytes:
    """Return a message of its own for each number; one in 25 is larger than 1 MiB."""
    return random_mail(number, one_large_in=25)


def deliver_until_answered(server: Server, number: int) -> tuple[Any, int]:
    """Send as a relay does: again, with the same queue id, until there is an answer.

    Returns the receipt and how many attempts were left without an answer.
    """
    raw = message(number)
    for failures in range(ATTEMPTS):
        try:
            answer = server.deliver(raw, X_Original_Queue_Id=f"queue{number}")
        except (OSError, http.client.HTTPException):
            threading.Event().wait(PAUSE_SECONDS)
            continue
        if answer.status == 200:
            return answer.json(), failures
        assert answer.status == 503, answer.body
    raise AssertionError(f"message {number} was not answered in {ATTEMPTS} attempts")


@contextmanager
def half_an_upload(server: Server, path: Path) -> Iterator[Path]:
    """Yield the segment that a worker has made for a message of which half is sent."""
    head = (
        f"POST /mail/inbound HTTP/1.1\r\nHost: localhost\r\nContent-Type: message/rfc822\r\n"
        f"Authorization: Bearer {server.token}\r\nContent-Length: {4 * MIB}\r\n\r\n"
    )
    before = set(path.iterdir())
    with closing(server.connect()) as connection:
        connection.sendall(head.encode() + b"Subject: half\r\n\r\n".ljust(2 * MIB, b"x"))
        [segment] = wait_for(lambda: set(path.iterdir()) - before)
        wait_for(lambda: segment.stat().st_size > 0)
        yield segment


def writer_of(server: Server, path: Path) -> int:
    """Return the process id of the worker that has the file at `path` open."""
    [found] = [
        pid
        for pid in server.worker_pids()
        if path in {link.resolve() for link in Path(f"/proc/{pid}/fd").iterdir()}
    ]
    return found


@pytest.mark.parametrize("is_replaced_first", [False, True])
def test_half_an_upload_goes_with_its_worker(
    new_server: NewServer, is_replaced_first: bool
) -> None:
    """Its file doesn't wait for a restart, also if a reload has already replaced the worker.

    That of another worker's upload stays, and so does every message that was answered.
    """
    server = new_server().start()
    segments = server.data_dir / "segments"
    stored = server.deliver(message(0)).json()["message_id"]
    large = server.deliver(message(25)).json()["message_id"]
    kept = set(segments.iterdir())
    with half_an_upload(server, segments) as segment:
        writer = writer_of(server, segment)
        if is_replaced_first:
            old = set(server.worker_pids())
            os.kill(server.pid, signal.SIGHUP)
            wait_for(
                lambda: (
                    set(server.worker_pids()) - old and old & set(server.worker_pids()) == {writer}
                )
            )
        kill_process(writer)
        with half_an_upload(server, segments) as other:
            wait_for(lambda: not segment.exists())
            assert other.exists()
    wait_for(lambda: set(segments.iterdir()) == kept)
    wait_for(lambda: any(line["message"].startswith("A crash left ") for line in server.log()))
    store = SQLiteStore(server.data_dir)
    with closing(store):
        assert store.read(stored) == message(0)
        assert store.read(large) == message(25)


@contextmanager
def workers_being_killed(server: Server, answered: Sized) -> Iterator[list[int]]:
    """Kill a random worker of `server` again and again; yields the list of those killed.

    Each after a random number of messages, MESSAGES_PER_KILL on average, was added to `answered`.
    """
    killed, done = [], threading.Event()

    def kill_some() -> None:
        next_at = 0
        while not done.wait(0.002):
            if len(answered) < next_at:
                continue
            next_at = len(answered) + random.randint(1, 2 * MESSAGES_PER_KILL)
            alive = server.worker_pids()
            for pid in random.sample(alive, k=min(1, len(alive))):
                kill_process(pid)
                killed.append(pid)

    killer = threading.Thread(target=kill_some)
    killer.start()
    try:
        yield killed
    finally:
        done.set()
        killer.join()


@pytest.mark.promise("no kill loses, doubles or cuts an acknowledged message")
def test_what_was_answered_is_stored_once_whatever_is_killed(new_server: NewServer) -> None:
    """1,000 messages while workers die: each acknowledged one is there, whole, exactly once.

    A restart then leaves no bytes of those that were cut off, or stored a second time.
    """
    server = new_server(workers=3).start()
    numbers = range(MESSAGES)
    answered: list[tuple[Any, int]] = []

    def deliver(number: int) -> tuple[Any, int]:
        answered.append(answer := deliver_until_answered(server, number))
        return answer

    with workers_being_killed(server, answered) as killed, ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(deliver, numbers))
        # As if these answers had been lost on their way.
        again = pool.map(deliver, numbers[::10])
        check_repeats(list(again), answers[::10])
    assert len(killed) > MESSAGES / MESSAGES_PER_KILL / 3
    assert sum(failures for _, failures in answers) > 0, "no request was hit"
    receipts = [receipt for receipt, _ in answers]
    check_stored(server, receipts)

    server.stop()
    server.start()
    check_stored(server, receipts)
    server.stop()
    ids = sorted(receipt["message_id"] for receipt in receipts)
    assert sorted(recorded_messages(server.data_dir)) == ids


def check_repeats(again: Sequence[Any], first: Sequence[Any]) -> None:
    """Compare the answers to messages that were sent once more with the first ones."""
    for (repeat, _), (receipt, _) in zip(again, first, strict=True):
        assert repeat["duplicate"] is True
        assert repeat["message_id"] == receipt["message_id"]
        assert repeat["stored_at"] == receipt["stored_at"]


def check_stored(server: Server, receipts: Sequence[Any]) -> None:
    """Compare every row and its bytes with what was sent and acknowledged."""
    with closing(SQLiteStore(server.data_dir)) as store:
        rows = list(store.search(Query()))
        assert Counter(row.message_id for row in rows) == Counter(
            receipt["message_id"] for receipt in receipts
        )
        for number, receipt in enumerate(receipts):
            row, raw = store.get(receipt["message_id"]), message(number)
            assert row.envelope.queue_id == f"queue{number}"
            assert store.read(row.message_id) == raw
            assert (row.size, row.sha256) == (len(raw), hashlib.sha256(raw).digest())


def test_the_uptime_is_that_of_the_server(server: Server) -> None:
    """Every worker says the same start, also one that has replaced another."""

    def starts() -> set[str]:
        return {server.request("GET", "/metrics").json()["start_time"][:19] for _ in range(20)}

    before, first = server.request("GET", "/health").json()["uptime"], starts()
    for pid in server.worker_pids():
        kill_process(pid)
    wait_for(lambda: len(server.worker_pids()) == 2)
    wait_for(lambda: server.request("GET", "/health").status == 200)
    assert server.request("GET", "/health").json()["uptime"] > before
    assert len(first | starts()) <= 2  # cut to seconds, on both sides of one
