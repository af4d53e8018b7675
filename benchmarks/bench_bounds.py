"""What has to stay within bounds, whatever the load: `python benchmarks/bench_bounds.py`.

How long a start takes, the memory of large messages, /health beside a load, and what a million
stored messages change. The load is wrk, which shares the machine.
"""

import http.client
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from bench_delivery import SIZES, run
from filled_store import fill
from subject import TOKEN, Subject, subjects

from app.storage.interface import Query
from app.storage.sqlite.store import SQLiteStore

CONNECTIONS = 16
ROUNDS = 5
SECONDS = 4
LARGE_MESSAGES, LARGE_BYTES = 8, 25 * 1024 * 1024
HEAD = b"From: <a@example.com>\r\nTo: <b@example.com>\r\nSubject: Large\r\n\r\n"
PAUSE_SECONDS = 0.01
STORED = 1_000_000


def main() -> None:
    """Print what was measured."""
    wrk = shutil.which("wrk") or sys.exit("wrk isn't installed")
    report_start()
    report_memory(wrk)
    report_health(wrk)
    report_stored(wrk, STORED)


def gomail() -> Subject:
    """Return GoMail with everything on, not started."""
    return subjects()[-1]


def report_start() -> None:
    """Print the seconds from the start of the process to its first answer."""
    seconds = []
    for _ in range(ROUNDS):
        with gomail() as server:
            seconds.append(server.start_seconds)
    print(f"start to first answer: {statistics.median(seconds):.2f} s (at most {max(seconds):.2f})")


def report_memory(wrk: str) -> None:
    """Print what large messages that arrive at the same time add to the memory at rest."""
    body = HEAD.ljust(LARGE_BYTES - 1024, b"x")
    with gomail() as server, ThreadPoolExecutor(LARGE_MESSAGES) as clients:
        run(wrk, server, SIZES["4 KiB"], CONNECTIONS, 1)
        idle = peak = server.memory_bytes()
        uploads = [clients.submit(post, server, body) for _ in range(LARGE_MESSAGES * ROUNDS)]
        while not all(upload.done() for upload in uploads):
            peak = max(peak, server.memory_bytes())
            time.sleep(PAUSE_SECONDS)
        refused = sum(upload.result() != http.client.OK for upload in uploads)
    print(
        f"memory with {LARGE_MESSAGES} messages of 25 MiB at once: {mebibytes(peak - idle):.0f} MiB"
        f" over the {mebibytes(idle):.0f} MiB at rest; {refused} refused"
    )


def report_health(wrk: str) -> None:
    """Print how long /health takes beside CONNECTIONS that deliver without a pause."""
    with gomail() as server, ThreadPoolExecutor(1) as beside:
        run(wrk, server, SIZES["4 KiB"], CONNECTIONS, 1)
        load = beside.submit(run, wrk, server, SIZES["4 KiB"], CONNECTIONS, ROUNDS * SECONDS)
        milliseconds = []
        while not load.done():
            began = time.perf_counter()
            ask(server, "GET", "/health")
            milliseconds.append((time.perf_counter() - began) * 1000)
            time.sleep(PAUSE_SECONDS)
        figures = load.result()
    p50, p99 = (statistics.quantiles(milliseconds, n=100)[place] for place in (49, 98))
    print(
        f"/health beside {figures.rate:.0f} messages/s: p50 {p50:.1f} ms, p99 {p99:.1f} ms,"
        f" of {len(milliseconds)}; p99 of the messages {figures.p99_ms:.1f} ms"
    )


def report_stored(wrk: str, count: int) -> None:
    """Print how fast messages come in beside `count` that are stored, and how fast a page comes."""
    with filled_directory(count) as data_dir, gomail() as empty:
        server = gomail()
        server = replace(server, environment=server.environment | {"MAIL_DATA_DIR": str(data_dir)})
        with server as full:
            rates: dict[str, list[float]] = {"empty": [], "full": []}
            for subject in (empty, full):
                run(wrk, subject, SIZES["4 KiB"], CONNECTIONS, 1)
            for number in range(ROUNDS):
                turns = [("empty", empty), ("full", full)]
                for name, subject in turns if number % 2 else reversed(turns):
                    figures = run(wrk, subject, SIZES["4 KiB"], CONNECTIONS, SECONDS)
                    rates[name].append(figures.rate)
        ratio = statistics.median(rates["full"]) / statistics.median(rates["empty"])
        print(f"messages/s with {count} stored / with none: {ratio:.2f}", rates)
        for query in (Query(limit=50), Query(recipient="b7@example.com", limit=50)):
            print(f"a page of the listing, {query}: {page_milliseconds(data_dir, query):.1f} ms")


@contextmanager
def filled_directory(count: int) -> Iterator[Path]:
    """Make a data directory that holds `count` messages."""
    with tempfile.TemporaryDirectory() as directory:
        fill(Path(directory), count)
        yield Path(directory)


def page_milliseconds(data_dir: Path, query: Query) -> float:
    """Return the median of several stores that were just opened, as the command opens one."""
    milliseconds = []
    for _ in range(ROUNDS):
        with closing(SQLiteStore(data_dir)) as store:
            began = time.perf_counter()
            list(store.search(query))
            milliseconds.append((time.perf_counter() - began) * 1000)
    return statistics.median(milliseconds)


def post(server: Subject, body: bytes) -> int:
    """Deliver `body` and return the status."""
    return ask(
        server,
        "POST",
        "/mail/inbound",
        body,
        {
            "Authorization": f"Bearer {TOKEN}",
            "Content-Type": "message/rfc822",
            "Idempotency-Key": str(time.perf_counter_ns()),
        },
    )


def ask(
    server: Subject,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> int:
    """Return the status of one request on a connection of its own."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.request(method, path, body, headers or {})
        with connection.getresponse() as answer:
            answer.read()
            return answer.status


def mebibytes(size: float) -> float:
    return size / 1024 / 1024


if __name__ == "__main__":
    main()
