"""One stranger with thousands of connections, beside an honest client and a probe."""

import http.client
import os
import resource
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.linux_process import resident_bytes, threads
from support.requirement import require_program, require_root
from support.rounds import rounds
from support.server import GUNICORN, NewServer, Server, wait_for
from support.upload import MESSAGE, uploads_in_flight

from app.settings.model import WAITING_THREADS
from app.state.shutdowns import read_shutdowns

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.alone,
    pytest.mark.promise("slow clients keep nobody waiting"),
]

MEBIBYTE = 1024 * 1024
CONNECTIONS = rounds(4000, 1000)
SECONDS = rounds(10, 3)
HALF_A_HEAD = b"GET /health HTTP/1.1\r\nX-Slow: "
LONG_HEAD = b"GET /health HTTP/1.1\r\n" + b"X-Long: %b\r\n" % (b"x" * 8000) * 7
HALF_A_BODY = (
    b"POST /mail/inbound HTTP/1.1\r\nHost: a\r\nContent-Type: message/rfc822\r\n"
    b"Authorization: Bearer %b\r\nContent-Length: 1000\r\n\r\nFrom: a@example.com\r\n"
)
KINDS = {
    "nothing": b"",
    "one byte": b"G",
    "half a head": HALF_A_HEAD,
    "a long head": LONG_HEAD,
    "half a body": HALF_A_BODY,
    "half a body and no token": HALF_A_BODY.replace(b"%b", b"wrong"),
    "what is refused": b"X\r\n\r\n",
}


@pytest.fixture(autouse=True)
def _many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def stranger(server: Server, sent: bytes, address: str = "127.0.0.1") -> Iterator[None]:
    """Keep CONNECTIONS connections from `address` on which `sent` was sent."""
    sent_on = 0
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            connection = stack.enter_context(socket.socket())
            connection.settimeout(5)
            connection.bind((address, 0))
            with suppress(OSError):  # closed already, to make room
                connection.connect(("127.0.0.1", server.port))
                connection.sendall(sent)
                sent_on += 1
        assert sent_on > CONNECTIONS / 2, "no stranger got in"
        yield


class Repeated(threading.Thread):
    """Does something again and again, and notes how long it takes."""

    def __init__(self, action: Callable[[int], int], pause: float) -> None:
        super().__init__()
        self._action, self._pause = action, pause
        self._stop_it = threading.Event()
        self.waits: list[float] = []
        self.failures: list[object] = []

    def __enter__(self) -> "Repeated":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_it.set()
        self.join()

    def run(self) -> None:
        """Repeat until the end."""
        while not self._stop_it.wait(self._pause):
            began = time.monotonic()
            try:
                status = self._action(len(self.waits))
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(error)
            else:
                if status != 200:
                    self.failures.append(status)
            self.waits.append(time.monotonic() - began)

    @property
    def p99(self) -> float:
        """How long it takes at most, but for one of a hundred times."""
        return statistics.quantiles(self.waits, n=100)[98]


def check_service(server: Server, sent: bytes, address: str = "127.0.0.1") -> None:
    """Check that neither messages nor probes wait, that no worker ends, and memory has bounds."""
    workers = server.worker_pids()

    def deliver(number: int) -> int:
        return server.deliver(MESSAGE, X_Original_Queue_Id=f"honest{number}").status

    def probe(_number: int) -> int:
        return server.request("GET", "/health").status

    deliver(-1)
    before = resident_bytes(workers)
    sent = sent.replace(b"%b", server.token.encode())
    with (
        Repeated(deliver, 0.05) as honest,
        Repeated(probe, 0.1) as probes,
        stranger(server, sent, address),
    ):
        time.sleep(SECONDS)
        grown = resident_bytes(workers) - before
    print(
        f"honest p99 {honest.p99:.3f} s, /health at most {max(probes.waits):.3f} s,"
        f" memory {grown / MEBIBYTE:.0f} MiB more"
    )
    assert (honest.failures, probes.failures) == ([], [])
    assert honest.p99 < 1
    assert max(probes.waits) < 1
    assert grown < 100 * MEBIBYTE
    assert server.worker_pids() == workers


@pytest.mark.parametrize("kind", rounds(list(KINDS), ["a long head", "half a body and no token"]))
def test_a_stranger_keeps_nobody_waiting(new_server: NewServer, kind: str) -> None:
    """From the same address as everybody else, as behind a proxy."""
    check_service(new_server().start(), KINDS[kind])


def test_a_stranger_from_elsewhere_keeps_nobody_waiting(new_server: NewServer) -> None:
    """The address makes no difference."""
    check_service(new_server().start(), HALF_A_BODY, "127.0.0.2")


@pytest.mark.parametrize("kind", ["nothing", "half a body"])
def test_few_descriptors_are_enough(new_server: NewServer, kind: str) -> None:
    """With 256 the oldest connections are closed, and the store always gets the files it needs."""
    command = [require_program("prlimit"), "--nofile=256:256", *GUNICORN]
    server = new_server().start(command)
    check_service(server, KINDS[kind])
    assert [line for line in server.log() if line["level"] == "ERROR"] == []


def test_the_limit_of_descriptors_is_raised(new_server: NewServer) -> None:
    """As far as the hard one allows."""
    command = [require_program("prlimit"), "--nofile=256:2000", *GUNICORN]
    server = new_server().start(command)
    for pid in server.worker_pids():
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (2000, 2000)


def used_processor_seconds(pid: int) -> float:
    """Return how much processor time the process `pid` has had."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_idle_strangers_cost_no_processor_time(new_server: NewServer) -> None:
    """Nor do those who wait to be accepted, when descriptors are short."""
    command = [require_program("prlimit"), "--nofile=256:256", *GUNICORN]
    server = new_server(workers=1).start(command)
    with stranger(server, b"G"):
        time.sleep(1)
        before = used_processor_seconds(server.worker_pids()[0])
        time.sleep(3)
        assert used_processor_seconds(server.worker_pids()[0]) - before < 0.6


def test_a_limit_of_processes_ends_no_worker(new_server: NewServer) -> None:
    """With a handful of threads the server is slow to receive, and goes on."""
    require_root()
    with ExitStack() as stack:
        # Others can't look into pytest's own directory.
        directory = Path(stack.enter_context(TemporaryDirectory()))
        server = new_server(data_dir=directory / "data")
        server.data_dir.mkdir()
        directory.chmod(0o755)
        user = [require_program("setpriv"), "--reuid=65533", "--regid=65533", "--clear-groups"]
        # The checkout needn't be readable for everybody; this doesn't lift the limit.
        user += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
        limit = [require_program("prlimit"), "--nproc=10:10"]
        server.environment["HOME"] = str(server.data_dir)
        os.chown(server.data_dir, 65533, 65533)
        server.start([*user, *limit, *GUNICORN])
        workers = server.worker_pids()
        clients = [stack.enter_context(server.connect()) for _ in range(30)]
        for client in clients:
            client.sendall(HALF_A_BODY.replace(b"%b", server.token.encode()))
        wait_for(lambda: any("can't be started" in line["message"] for line in server.log()))
        assert server.request("GET", "/health", seconds=3).status == 200
        assert server.deliver(MESSAGE).status == 200
        assert server.worker_pids() == workers
        assert threads(workers) < 12
        for client in clients:  # the drain would wait for them
            client.close()
        server.stop()
        assert read_shutdowns(server.data_dir)["graceful"]["count"] == 1


def test_half_bodies_leave_threads_for_probes(new_server: NewServer) -> None:
    """With as many as are received at once, a probe doesn't even wait until one is given up."""
    server = new_server(workers=1, threads=1).start()
    with uploads_in_flight(server, 1 + WAITING_THREADS):
        began = time.monotonic()
        assert server.request("GET", "/health").status == 200
        assert time.monotonic() - began < 0.3


def test_the_fastest_upload_goes_on(new_server: NewServer) -> None:
    """Strangers with half a body lose their threads, one that sends steadily keeps its own."""
    server = new_server(workers=1, threads=1).start()
    text = MESSAGE + b"x" * 998 * 2000
    head = HALF_A_BODY.partition(b"Content-Length")[0].replace(b"%b", server.token.encode())
    with server.connect() as connection, ExitStack() as stack:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(text))
        for _ in range(300):
            other = stack.enter_context(server.connect())
            other.sendall(HALF_A_BODY.replace(b"%b", server.token.encode()))
        for at in range(0, len(text), 50_000):
            connection.sendall(text[at : at + 50_000])
            time.sleep(0.1)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
