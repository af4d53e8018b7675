"""What a request costs the workers of a real server; part of bench_metrics.py.

Two servers with everything on, but one without metrics, take messages in turn. Counted is what
/proc says of their workers, to which the client, in a process of its own, doesn't belong.
"""

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from uuid import uuid4

CHECKOUT = Path(__file__).parents[1]
ROUNDS = 5
CONNECTIONS = 16
MESSAGES = 50  # on each connection, in each round
START_SECONDS = 30
STOP_SECONDS = 60
WORKERS = 2
HEAD = b"From: ann@example.org\r\nTo: bob@example.com\r\nSubject: Hello\r\n\r\n"
RAW = HEAD.ljust(4096, b"x")


@dataclass(frozen=True)
class Round:
    """CPU microseconds of a request with metrics and without."""

    counted: float
    bare: float


@dataclass(frozen=True)
class Server:
    """A running server."""

    pid: int
    port: int
    token: str


def whole_requests() -> list[Round]:
    """Return what was measured in several rounds."""
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as client,
        server(metrics=True) as counted,
        server(metrics=False) as bare,
    ):
        for each in (counted, bare):
            cost(each, client)  # fills caches and makes threads
        rounds = []
        for number in range(ROUNDS):
            order = (counted, bare) if number % 2 else (bare, counted)
            costs = {each.port: cost(each, client) for each in order}
            rounds.append(Round(costs[counted.port], costs[bare.port]))
        return rounds


@contextmanager
def server(*, metrics: bool) -> Iterator[Server]:
    """Run a server with new data on free ports of loopback."""
    with tempfile.TemporaryDirectory() as directory:
        data_dir, log_file = Path(directory, "data"), Path(directory, "log")
        port = free_port()
        settings = {
            "CONFIG": os.devnull,
            "PORT": port,
            "DATA_DIR": data_dir,
            "WORKERS": WORKERS,
            "RATE_LIMIT_PER_MINUTE": 1_000_000,
            "RATE_LIMIT_BURST": 1_000_000,
            "METRICS_ENABLED": "true" if metrics else "false",
            "METRICS_PORT": free_port(),
        }
        foreign = ("MAIL_", "FLASK_", "GUNICORN_")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        environment |= {f"MAIL_{name}": str(value) for name, value in settings.items()}
        command = [sys.executable, "-m", "gunicorn", "wsgi:app"]
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                command, cwd=CHECKOUT, env=environment, stdout=log, stderr=log
            )
        try:
            wait_until_ready(process, port, log_file)
            token = (data_dir / "token").read_text(encoding="ascii").strip()
            yield Server(process.pid, port, token)
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def wait_until_ready(process: subprocess.Popen[bytes], port: int, log_file: Path) -> None:
    """Return when the server takes mail; ends the program when it doesn't come to that."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with (
            suppress(OSError, http.client.HTTPException),
            closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection,
        ):
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise SystemExit(f"The server didn't start: {log_file.read_text(encoding='utf-8')}")


def cost(server: Server, client: ProcessPoolExecutor) -> float:
    """Return the CPU microseconds of a message, all workers of `server` together."""
    before = cpu_seconds(server.pid)
    client.submit(send_all, server.port, server.token).result()
    after = cpu_seconds(server.pid)
    if before.keys() != after.keys():
        raise SystemExit("A worker has ended meanwhile: the figures are worthless.")
    used = sum(after.values()) - sum(before.values())
    return used / (CONNECTIONS * MESSAGES) * 1_000_000


def cpu_seconds(master: int) -> dict[int, float]:
    """Return the CPU time of the master's children by process id.

    The metrics process is one of them; it sleeps unless it is scraped.
    """
    children = Path(f"/proc/{master}/task/{master}/children").read_text(encoding="ascii")
    return {int(pid): cpu_seconds_of(pid) for pid in children.split()}


def cpu_seconds_of(pid: str) -> float:
    """Return user and system time of one process."""
    after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def send_all(port: int, token: str) -> None:
    """In the client's process: send the messages of one round on all connections at once."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(partial(send, port), [token] * CONNECTIONS))


def send(port: int, token: str) -> None:
    """Send messages on one connection that is kept alive."""
    fixed = {"Authorization": f"Bearer {token}", "Content-Type": "message/rfc822"}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        for _ in range(MESSAGES):
            headers = fixed | {"Idempotency-Key": uuid4().hex}
            connection.request("POST", "/mail/inbound", RAW, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                # Not SystemExit: it has to come through two pools.
                raise RuntimeError(f"{answer.status} answered: the figures are worthless.")


def free_port() -> int:
    """Return a port of loopback that nothing listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
