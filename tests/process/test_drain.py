import http.client
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import pytest
from support.linux_process import kill_process
from support.rounds import rounds
from support.server import NewServer, Server, wait_for
from support.upload import MESSAGE, metrics, uploads_in_flight

from app.state.shutdowns import read_shutdowns
from app.storage.interface import Query
from app.storage.sqlite.store import SQLiteStore

SERVERS = 2  # at the same time: a stop is mostly waiting
ROUNDS = rounds(10, 3)
CLIENTS = 32
PAUSE_SECONDS = 0.02  # after a 503, which asks for a longer one
BODY_SIZES = (1024, 64 * 1024, 1024 * 1024, 5 * 1024 * 1024)
WEIGHTS = (4, 3, 2, 1)
HEAD = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: load\r\n\r\n"
BODIES = [HEAD + random.Random(size).randbytes(size) for size in BODY_SIZES]


@dataclass(frozen=True)
class Attempt:
    """One request of a client: what was sent, and the status or the failure that came of it."""

    queue_id: str
    size: int
    outcome: int | str


class Client:
    """Delivers one message after the other until the server can't be connected to."""

    def __init__(self, server: Server, name: str, keeps_alive: bool) -> None:
        self._port = server.port
        self._fields = {
            "Authorization": f"Bearer {server.token}",
            "Content-Type": "message/rfc822",
        }
        self._name = name
        self._keeps_alive = keeps_alive
        self._connection: HTTPConnection | None = None

    def run(self) -> list[Attempt]:
        """Return all attempts, each of which began to send."""
        attempts: list[Attempt] = []
        while connection := self._connect():
            [body] = random.choices(BODIES, WEIGHTS)
            attempts.append(self._deliver(connection, f"{self._name}-{len(attempts)}", body))
            if attempts[-1].outcome == 503:
                time.sleep(PAUSE_SECONDS)
        return attempts

    def _connect(self) -> HTTPConnection | None:
        if self._connection is None:
            connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
            try:
                connection.connect()
            except ConnectionRefusedError:
                return None
            self._connection = connection
        return self._connection

    def _deliver(self, connection: HTTPConnection, queue_id: str, body: bytes) -> Attempt:
        fields = self._fields | {"X-Original-Queue-Id": queue_id}
        try:
            connection.request("POST", "/mail/inbound", body, fields)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._drop(connection)
            return Attempt(queue_id, len(body), repr(error))
        if not self._keeps_alive or answer.will_close:
            self._drop(connection)
        return Attempt(queue_id, len(body), answer.status)

    def _drop(self, connection: HTTPConnection) -> None:
        connection.close()
        self._connection = None


def stored_sizes(server: Server) -> dict[str, int]:
    """Return the size of each stored message by its queue id."""
    with closing(SQLiteStore(server.data_dir)) as store:
        return {str(row.envelope.queue_id): row.size for row in store.search(Query())}


@pytest.mark.promise(
    "a stop loses no request: each gets a whole 200 or 503, and each 200 is stored"
)
def test_no_request_is_lost_by_a_stop_under_load(new_server: NewServer) -> None:
    """Stops at random moments: each request gets a whole 200 or 503, each 200 is stored.

    Nothing is stored that was not answered 200, and no client sees a reset or an empty answer.
    """
    servers = [new_server() for _ in range(SERVERS)]
    with ThreadPoolExecutor(SERVERS) as pool:
        outcomes = sum(pool.map(stop_again_and_again, servers), Counter[int | str]())
    print(dict(outcomes))
    assert min(outcomes[200], outcomes[503]) > CLIENTS, "the stops came at no busy moment"


def stop_again_and_again(server: Server) -> Counter[int | str]:
    """Stop `server` under load ROUNDS times; return how often each status was the answer."""
    acknowledged: dict[str, int] = {}
    outcomes = Counter[int | str]()
    for number in range(ROUNDS):
        server.start()
        attempts = stop_under_load(server, f"round{number}")
        assert [each for each in attempts if each.outcome not in {200, 503}] == []
        outcomes.update(attempt.outcome for attempt in attempts)
        acknowledged |= {each.queue_id: each.size for each in attempts if each.outcome == 200}
        assert stored_sizes(server) == acknowledged
    return outcomes


def stop_under_load(server: Server, name: str) -> list[Attempt]:
    """Send SIGTERM at a random moment; return the attempts of all clients."""
    clients = [
        Client(server, f"{name}-{number}", keeps_alive=number % 2 == 0) for number in range(CLIENTS)
    ]
    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(client.run) for client in clients]
        time.sleep(random.uniform(0.1, 0.8))
        assert server.stop() == 0
        return [attempt for each in running for attempt in each.result()]


@pytest.mark.alone
@pytest.mark.promise("while draining, what is in flight finishes and all else is answered 503")
def test_what_is_in_flight_finishes_and_all_else_is_turned_away(new_server: NewServer) -> None:
    """A stop waits for the slow upload, says so in the log, and answers the others 503."""
    server = new_server().start()
    with kept_alive(server, 2) as kept, uploads_in_flight(server, 1) as [upload]:
        os.kill(server.pid, signal.SIGTERM)
        began = time.monotonic()
        wait_for(lambda: "Waiting for 1 active request to complete" in messages(server))
        for connection, request in zip(kept, requests(server), strict=True):
            check_turned_away(connection, request)
        for request in requests(server):
            with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
                check_turned_away(connection, request)
        wait_for(lambda: "Still waiting for 1 active request" in messages(server))
        assert time.monotonic() - began == pytest.approx(5, abs=1)
        assert upload.finish().status == 200
    assert server.wait(10) == 0
    assert stored_sizes(server) == {"slow0": len(MESSAGE)}
    assert counts(server) == {"graceful": 1, "forced": 0}
    assert read_shutdowns(server.data_dir)["graceful"]["seconds"] == pytest.approx(5.5, abs=1.5)


@contextmanager
def kept_alive(server: Server, count: int) -> Iterator[list[HTTPConnection]]:
    """Yield connections that have had one answer and stay open."""
    with ExitStack() as stack:
        connections = [http.client.HTTPConnection("127.0.0.1", server.port) for _ in range(count)]
        for connection in connections:
            stack.callback(connection.close)
            connection.request("GET", "/ready")
            answer = connection.getresponse()
            answer.read()
            assert (answer.status, answer.will_close) == (200, False)
        yield connections


def requests(server: Server) -> list[tuple[Any, ...]]:
    """Return the arguments of a probe and of a delivery."""
    fields = {"Authorization": f"Bearer {server.token}", "Content-Type": "message/rfc822"}
    return [("GET", "/ready"), ("POST", "/mail/inbound", HEAD, fields)]


def check_turned_away(connection: HTTPConnection, request: tuple[Any, ...]) -> None:
    """Send `request` and check for the 503 of a server that shuts down."""
    connection.request(*request)
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["code"]) == (503, "shutting_down")
    assert answer.headers["Connection"] == "close"
    assert int(answer.headers["Retry-After"]) > 0


def messages(server: Server) -> list[str]:
    """Return the messages in the log so far."""
    return [line["message"] for line in server.log()]


def counts(server: Server) -> dict[str, int]:
    """Return how many shutdowns of each kind are on record."""
    return {kind: each["count"] for kind, each in read_shutdowns(server.data_dir).items()}


def seconds_of_stop(server: Server) -> float:
    """Stop `server` and return how long that took: with nothing to do, what the machine needs."""
    began = time.monotonic()
    assert server.stop() == 0
    return time.monotonic() - began


@pytest.mark.alone
@pytest.mark.promise("a stop ends after shutdown_timeout, whatever hangs")
def test_an_upload_that_hangs_delays_the_end_to_the_deadline(new_server: NewServer) -> None:
    """After shutdown_timeout the server warns and ends; that it was forced survives a restart."""
    server = new_server(shutdown_timeout=2).start()
    with uploads_in_flight(server, 1) as [upload]:
        took = seconds_of_stop(server)
        with pytest.raises((OSError, http.client.HTTPException)):
            upload.answer()
    [warning] = [line for line in server.log() if line["level"] == "WARNING"]
    assert warning["message"] == "Forced shutdown with 1 active request"
    assert counts(server) == {"graceful": 0, "forced": 1}
    calm = seconds_of_stop(server.start())
    assert 2 <= took <= 3 + 2 * calm
    assert counts(server) == {"graceful": 1, "forced": 1}
    assert stored_sizes(server) == {}


@pytest.mark.alone
def test_a_second_signal_ends_at_once(new_server: NewServer) -> None:
    """Whoever repeats the signal doesn't want to wait for the deadline."""
    server = new_server().start()
    with uploads_in_flight(server, 1):
        os.kill(server.pid, signal.SIGTERM)
        wait_for(lambda: "Waiting for 1 active request to complete" in messages(server))
        took = seconds_of_stop(server)
    assert "Forced shutdown with 1 active request" in messages(server)
    assert took < 2 + 2 * seconds_of_stop(server.start())


@pytest.mark.alone
@pytest.mark.parametrize("drains", [False, True])
def test_sigquit_is_a_forced_shutdown(new_server: NewServer, drains: bool) -> None:
    """It ends at once, also while the server drains, and counts once."""
    server = new_server().start()
    with uploads_in_flight(server, 1 if drains else 0):
        if drains:
            os.kill(server.pid, signal.SIGTERM)
            wait_for(lambda: "Waiting for 1 active request to complete" in messages(server))
        began = time.monotonic()
        os.kill(server.pid, signal.SIGQUIT)
        assert server.wait() == 0
        assert time.monotonic() - began < 3
    assert counts(server) == {"graceful": 0, "forced": 1}
    assert f"Forced shutdown with {int(drains)} active request" in "\n".join(messages(server))


@pytest.mark.promise("SIGINT drains as SIGTERM does")
def test_control_c_drains_too(new_server: NewServer) -> None:
    """SIGINT does what SIGTERM does."""
    server = new_server().start()
    with uploads_in_flight(server, 1) as [upload]:
        os.kill(server.pid, signal.SIGINT)
        wait_for(lambda: "Waiting for 1 active request to complete" in messages(server))
        assert server.request("GET", "/ready").status == 503
        assert upload.finish().status == 200
    assert server.wait(10) == 0
    assert counts(server) == {"graceful": 1, "forced": 0}


@pytest.mark.alone
def test_a_reload_does_not_delay_the_end(new_server: NewServer) -> None:
    """SIGHUP during the drain is ignored, and many before it aren't waited for."""
    server = new_server().start()
    with uploads_in_flight(server, 1) as [upload]:
        for _ in range(20):
            os.kill(server.pid, signal.SIGHUP)
        os.kill(server.pid, signal.SIGTERM)
        os.kill(server.pid, signal.SIGHUP)
        assert upload.finish().status == 200
    began = time.monotonic()
    assert server.wait() == 0
    assert time.monotonic() - began < 4


@pytest.mark.alone
def test_a_killed_worker_leaves_no_request_in_flight(new_server: NewServer) -> None:
    """What it had in flight is forgotten; what all have stored stays counted, and is summed."""
    server = new_server().start()
    with ThreadPoolExecutor(8) as pool:
        fields = [{"X_Original_Queue_Id": str(number)} for number in range(40)]
        answers = list(pool.map(lambda each: server.deliver(MESSAGE, **each), fields))
    assert {answer.status for answer in answers} == {200}
    before = metrics(server)
    assert before["total_emails"] == 40
    assert before["total_bytes"] == 40 * len(MESSAGE)
    with uploads_in_flight(server, 6):
        for pid in server.worker_pids():
            kill_process(pid)
        wait_for(lambda: metrics(server)["active_requests"] == 1)
    after = metrics(server)
    for same in ("total_emails", "total_bytes", "last_received"):
        assert after[same] == before[same]
    assert server.deliver(MESSAGE, X_Original_Queue_Id="one more").status == 200
    assert metrics(server)["total_emails"] == 41
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 5, "the stop waited for requests that are no more"
