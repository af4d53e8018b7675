import fcntl
import select
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from support.server import NewServer, Server, wait_for
from support.upload import MESSAGE, Upload, metrics, uploads_in_flight

from app.server.gunicorn_internals.deadlines import ANSWER_GRACE_SECONDS
from app.storage.interface import Query
from app.storage.sqlite.store import SQLiteStore

pytestmark = pytest.mark.alone

READ, HANDLER, IDLE, WRITE = 2, 1, 2, 2
SLACK_SECONDS = 1.5
LARGE = bytes(24 * 1024 * 1024)


@pytest.fixture(scope="module")
def impatient_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a running server whose clients have a second or two."""
    with Server(
        tmp_path_factory.mktemp("impatient"),
        read_timeout=READ,
        handler_timeout=HANDLER,
        idle_timeout=IDLE,
        write_timeout=WRITE,
    ) as server:
        yield server.start()


def seconds_until_closed(connection: socket.socket, began: float) -> tuple[float, bytes]:
    """Read until the server closes; return the seconds since `began`, and what came."""
    connection.settimeout(20)
    received = b""
    while True:
        try:
            data = connection.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            return time.monotonic() - began, received
        received += data


def send_slowly(connection: socket.socket, data: bytes, stop: threading.Event) -> None:
    """Send a byte five times a second until the server has had enough, or `stop` is set."""
    try:
        for byte in data:
            connection.sendall(bytes([byte]))
            if stop.wait(0.2):
                return
    except OSError:
        return


def is_empty(server: Server) -> bool:
    """Tell whether nothing is stored."""
    with closing(SQLiteStore(server.data_dir)) as store:
        return store.count(Query()) == 0


@pytest.mark.promise("timeouts are kept: read, handler, idle, write")
@pytest.mark.parametrize(
    ("beginning", "rest"),
    [
        pytest.param(b"", b"", id="silent"),
        pytest.param(b"GET /health HTTP/1.1\r\n", b"", id="stalled"),
        pytest.param(b"GET /health HTTP/1.1\r\n", b"X-Slow: " + b"x" * 1000, id="slow"),
    ],
)
def test_a_head_that_does_not_come_ends_the_connection(
    impatient_server: Server, beginning: bytes, rest: bytes
) -> None:
    """After read_timeout a client that sent nothing, half a head, or a byte at a time is gone."""
    stop = threading.Event()
    with closing(impatient_server.connect()) as connection, ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        connection.sendall(beginning)
        pool.submit(send_slowly, connection, rest, stop)
        took, _ = seconds_until_closed(connection, began)
        stop.set()
    assert READ - 0.5 <= took <= READ + SLACK_SECONDS


@pytest.mark.promise("timeouts are kept: read, handler, idle, write")
@pytest.mark.parametrize("goes_on", [False, True], ids=["stalled", "slow"])
def test_a_body_that_does_not_come_is_answered_408(impatient_server: Server, goes_on: bool) -> None:
    """After handler_timeout the client hears why, nothing is kept, and it is counted."""
    counted = metrics(impatient_server)["total_timeouts"]
    stop = threading.Event()
    began = time.monotonic()
    upload = Upload(impatient_server)
    with closing(upload), ThreadPoolExecutor(1) as pool:
        # The last byte never comes.
        pool.submit(send_slowly, upload.socket, upload.left[:-1] if goes_on else b"", stop)
        answer = upload.answer()
        took = time.monotonic() - began
        stop.set()
    assert answer.status == 408
    assert answer.headers["Connection"] == "close"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "timeout"
    assert HANDLER - 0.1 <= took <= HANDLER + SLACK_SECONDS
    assert is_empty(impatient_server)
    after = metrics(impatient_server)
    assert (after["active_requests"], after["total_timeouts"]) == (1, counted + 1)


@pytest.mark.promise("timeouts are kept: read, handler, idle, write")
def test_a_slow_disk_is_not_the_clients_fault(impatient_server: Server) -> None:
    """Once a message has arrived its client is never cut off: it learns what came of it."""
    counted = metrics(impatient_server)["total_timeouts"]
    lock_file = impatient_server.data_dir / "commit.lock"
    with lock_file.open("a") as lock, closing(Upload(impatient_server, "patient")) as upload:
        fcntl.flock(lock, fcntl.LOCK_EX)
        upload.send(len(upload.left))
        time.sleep(HANDLER + READ + ANSWER_GRACE_SECONDS)
        fcntl.flock(lock, fcntl.LOCK_UN)
        answer = upload.answer()
    assert (answer.status, answer.json()["duplicate"]) == (200, False)
    assert metrics(impatient_server)["total_timeouts"] == counted


@pytest.mark.promise("timeouts are kept: read, handler, idle, write")
def test_a_connection_without_a_next_request_is_closed(impatient_server: Server) -> None:
    """A kept-alive connection ends idle_timeout after its last answer."""
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with closing(impatient_server.connect()) as connection:
        connection.sendall(request)
        wait_for(lambda: b'"healthy"' in connection.recv(65536))
        took, more = seconds_until_closed(connection, time.monotonic())
    assert IDLE - 0.5 <= took <= IDLE + SLACK_SECONDS
    assert more == b""


@pytest.mark.promise("timeouts are kept: read, handler, idle, write")
def test_a_client_that_does_not_take_its_answers_is_cut_off(impatient_server: Server) -> None:
    """When the buffers between are full, an answer may wait for write_timeout, no longer."""
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
        connection.connect(("127.0.0.1", impatient_server.port))
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500)
        poll = select.poll()
        poll.register(connection, 0)  # the end of the connection is told in any case
        began = time.monotonic()
        assert poll.poll(20_000)
        assert WRITE <= time.monotonic() - began <= WRITE + 2 * SLACK_SECONDS
    wait_for(lambda: metrics(impatient_server)["active_requests"] == 1)


class SlowClient:
    """Sends a byte a second, in the head or in the body, and connects again when it is cut off."""

    def __init__(self, server: Server, in_body: bool) -> None:
        self._server = server
        self._in_body = in_body
        self.lifetimes: list[float] = []

    def run(self, until: float) -> None:
        """Note for each connection begun before `until` how many seconds it lived."""
        while time.monotonic() < until:
            began = time.monotonic()
            with closing(self._begin()) as connection:
                self._send_until_closed(connection, began + 20)
            self.lifetimes.append(time.monotonic() - began)

    def _begin(self) -> socket.socket:
        if self._in_body:
            return Upload(self._server).socket
        connection = self._server.connect()
        connection.sendall(b"GET /health HTTP/1.1\r\nX-Slow: ")
        return connection

    def _send_until_closed(self, connection: socket.socket, give_up_at: float) -> None:
        connection.settimeout(1)
        while time.monotonic() < give_up_at:
            try:
                connection.send(b"x")
                if connection.recv(65536) != b"":
                    continue  # a 408, the end is near
            except TimeoutError:
                continue
            except ConnectionError:
                pass
            return


@pytest.mark.promise("slow clients keep nobody waiting")
def test_slow_clients_keep_nobody_waiting(new_server: NewServer) -> None:
    """50 clients with a byte a second: an honest one is served within a second all the time."""
    server = new_server(read_timeout=4, handler_timeout=3).start()
    slow = [SlowClient(server, in_body=number % 2 == 0) for number in range(50)]
    until = time.monotonic() + 6
    with ThreadPoolExecutor(len(slow)) as pool:
        running = [pool.submit(client.run, until) for client in slow]
        waits: list[float] = []
        while not all(each.done() for each in running):
            began = time.monotonic()
            answer = server.deliver(MESSAGE, X_Original_Queue_Id=f"honest{len(waits)}")
            waits.append(time.monotonic() - began)
            assert answer.status == 200
        for each in running:
            each.result()
    longest = max(lifetime for client in slow for lifetime in client.lifetimes)
    p99 = statistics.quantiles(waits, n=100)[98]
    print(f"{len(waits)} honest requests, p99 {p99:.3f} s; a slow one lived {longest:.2f} s")
    assert p99 < 1
    assert longest <= 4 + SLACK_SECONDS + 1  # it looks once a second
    wait_for(lambda: metrics(server)["active_requests"] == 1)


@pytest.mark.promise("slow clients keep nobody waiting")
def test_a_probe_is_answered_while_every_thread_is_busy(shared_server: Server) -> None:
    """/health takes less than 100 ms beside as many stalled uploads as messages are worked on."""
    workers, threads = 2, 8
    waits = []
    with uploads_in_flight(shared_server, workers * threads):
        for _ in range(100):
            began = time.monotonic()
            assert shared_server.request("GET", "/health").status == 200
            waits.append(time.monotonic() - began)
    print(f"median {statistics.median(waits):.4f} s, at most {max(waits):.4f} s")
    assert statistics.median(waits) < 0.1
    assert max(waits) < 0.3


@pytest.fixture(scope="module")
def narrow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a running server that takes messages of at most 1 MiB."""
    with Server(tmp_path_factory.mktemp("narrow"), max_message_size=1024 * 1024) as server:
        yield server.start()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param({}, 413, id="too large"),
        pytest.param({"Authorization": "Bearer wrong-token"}, 401, id="no token"),
        pytest.param({"Content-Type": "image/png"}, 415, id="no message"),
    ],
)
def test_a_large_upload_that_is_refused_gets_its_answer(
    narrow_server: Server, fields: dict[str, str], status: int
) -> None:
    """24 MiB of which nothing is wanted: the client can send them and then reads why, each time."""
    for _ in range(10):
        answer = narrow_server.request("POST", "/mail/inbound", LARGE, head(narrow_server) | fields)
        assert answer.status == status
        assert answer.json()["status"] == status
    assert is_empty(narrow_server)


def head(server: Server) -> dict[str, str]:
    """Return the header fields of a delivery."""
    return {"Authorization": f"Bearer {server.token}", "Content-Type": "message/rfc822"}
