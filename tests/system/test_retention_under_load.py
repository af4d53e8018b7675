"""What the way in notices of retention at work, and kills at each of its steps."""

import http.client
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from support.configured import settings_writer
from support.old_mail import files_with, store_old_mail
from support.rounds import rounds
from support.server import NewServer, Server, wait_for

from app.storage.message import Reason
from app.storage.sqlite.store import SQLiteStore

CLIENTS = 8
A_SECOND = 20  # of each client: what the machine can do without a queue
MESSAGES = rounds(100_000, 5_000)
SECONDS = rounds(60, 10)
MOST_SLOWER = rounds(1.2, 2.0)  # a p99 of few messages is known less exactly
MOST_SECONDS = 1200
TOKEN = "token-" + "t" * 32

pytestmark = pytest.mark.alone


class SteadyLoad:
    """Clients that deliver at a fixed rate, and how long each message has taken, in seconds.

    The time counts from when a message was to be sent: a client that waits delays the next ones.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._count = 0

    def run(self, goes_on: Callable[[], bool]) -> list[float]:
        """Deliver while `goes_on`; return the durations."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(self._deliver, n, goes_on) for n in range(CLIENTS)]
            return [each for client in clients for each in client.result()]

    def _deliver(self, client: int, goes_on: Callable[[], bool]) -> list[float]:
        durations = []
        due = time.monotonic() + client / CLIENTS / A_SECOND
        with closing(http.client.HTTPConnection("127.0.0.1", self._server.port)) as connection:
            while goes_on():
                time.sleep(max(0, due - time.monotonic()))
                self._post(connection)
                durations.append(time.monotonic() - due)
                due += 1 / A_SECOND
        return durations

    def _post(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._count += 1
            number = self._count
        raw = f"From: a@b.example\r\nTo: c@d.example\r\n\r\n{number} {'x' * 4000}\r\n"
        fields = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "message/rfc822"}
        connection.request("POST", "/mail/inbound", raw, fields)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200


def for_seconds(seconds: float) -> Callable[[], bool]:
    """Return a condition that holds for so long."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end


def p99(durations: list[float]) -> float:
    """Return the duration that one in a hundred exceeds."""
    return sorted(durations)[len(durations) * 99 // 100]


@pytest.mark.promise("retention doesn't slow down the way in")
def test_the_way_in_hardly_notices(
    new_server: NewServer, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """While many messages are deleted and erased, p99 is at most MOST_SLOWER times that without."""
    file = tmp_path / "gomail.yaml"
    write = settings_writer(file, TOKEN)
    write(rate_limit_per_minute=0)
    server = new_server(config=file, rate_limit_per_minute=None)
    store_old_mail(server.data_dir, MESSAGES, 31, b"overdueword")
    load = SteadyLoad(server.start())
    load.run(for_seconds(5))
    without = load.run(for_seconds(SECONDS))
    with closing(SQLiteStore(server.data_dir)) as store:
        write(rate_limit_per_minute=0, retention_days=30)
        os.kill(server.pid, signal.SIGHUP)
        wait_for(lambda: store.statistics().deleted[Reason.RETENTION], 20)
        during, seconds = load_while_it_deletes(load, store)
    without += load.run(for_seconds(SECONDS))
    ratio = p99(during) / p99(without)
    told = (
        f"{MESSAGES} messages deleted in {seconds:.0f} s;"
        f" p99 {p99(during) * 1000:.1f} ms, {ratio:.2f} times that without"
    )
    record_property("rounds", told)
    print(told)
    assert ratio <= MOST_SLOWER, told
    wait_for(lambda: not files_with(server.data_dir, b"overdueword"), 60)


def load_while_it_deletes(load: SteadyLoad, store: SQLiteStore) -> tuple[list[float], float]:
    """Return the durations of what is delivered until all is deleted, and the seconds it took."""
    is_over = threading.Event()
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        durations = pool.submit(load.run, lambda: not is_over.is_set())
        try:
            while store.statistics().deleted[Reason.RETENTION] < MESSAGES:
                assert time.monotonic() - began < MOST_SECONDS
                time.sleep(0.5)
        finally:
            is_over.set()
        return durations.result(), time.monotonic() - began
