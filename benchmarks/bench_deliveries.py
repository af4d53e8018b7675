"""Measures deliveries: `python benchmarks/bench_deliveries.py`.

Measures the rate of incoming mail with and without an endpoint, whether a backlog grows, the CPU
time of a delivery, and the requests to an endpoint after an outage. All parts share the machine.
"""

import shutil
import socket
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path

from bench_delivery import SIZES, run
from endpoint import figures_of, requests_to, sink
from filled_store import fill
from subject import TOKEN, Subject, free_port, process_cpu_seconds, subjects

from app.storage.delivery import State
from app.storage.sqlite.store import SQLiteStore

ROUNDS, SECONDS = 5, 4
CONNECTIONS = 16
RATE, STEADY_SECONDS, CLIENTS = 500, 20, 4
PENDING, OUTAGE_SECONDS = 50_000, 40
ANSWER_MILLISECONDS = 10
MESSAGE = b"From: <a@example.com>\r\nTo: <b@example.com>\r\nSubject: Hello\r\n\r\n".ljust(
    4096, b"x"
)
REQUEST = (
    b"POST /mail/inbound HTTP/1.1\r\nHost: localhost\r\nContent-Type: message/rfc822\r\n"
    b"Authorization: Bearer %b\r\nContent-Length: %d\r\nIdempotency-Key: %%b\r\n\r\n%%b"
) % (TOKEN.encode(), len(MESSAGE))


def main() -> None:
    """Print what was measured."""
    wrk = shutil.which("wrk") or sys.exit("wrk isn't installed")
    report_intake(wrk)
    report_steady()
    report_recovery()


def report_intake(wrk: str) -> None:
    """Print the rate of incoming messages with an endpoint, relative to that without."""
    port = free_port()
    rates: dict[str, list[float]] = {"without": [], "with": []}
    with sink(port, 0), gomail() as plain, gomail(port) as delivering:
        turns = [("without", plain), ("with", delivering)]
        for _, subject in turns:
            run(wrk, subject, SIZES["4 KiB"], CONNECTIONS, 1)
        for number in range(ROUNDS):
            for name, subject in turns if number % 2 else reversed(turns):
                figures = run(wrk, subject, SIZES["4 KiB"], CONNECTIONS, SECONDS)
                rates[name].append(figures.rate)
                wait_until_delivered(subject)
    ratio = statistics.median(rates["with"]) / statistics.median(rates["without"])
    print(f"messages/s with an endpoint / without: {ratio:.2f}", rates)


def report_steady() -> None:
    """Print how much of a steady stream is delivered, and the CPU time of a delivery."""
    port = free_port()
    with sink(port, 0), gomail(port) as server:
        post_steadily(server, 1)
        before, pid = requests_to(port), server.child("deliveries")
        used = process_cpu_seconds(pid)
        post_steadily(server, STEADY_SECONDS)
        left = RATE * STEADY_SECONDS - (requests_to(port) - before)
        wait_until_delivered(server)
        used = process_cpu_seconds(pid) - used
    print(
        f"{RATE} messages/s for {STEADY_SECONDS} s: {left} not delivered at the end;"
        f" {used / RATE / STEADY_SECONDS * 1e6:.0f} us of CPU a delivery, in its process"
    )


def report_recovery() -> None:
    """Print the requests to an endpoint after an outage, and the delivery process's memory."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        fill(Path(directory), PENDING, ("webhook",))
        with gomail(port, Path(directory)) as server:
            time.sleep(OUTAGE_SECONDS)
            pid = server.child("deliveries")
            idle = resident(pid)
            with sink(port, ANSWER_MILLISECONDS):
                began = time.monotonic()
                wait_until_delivered(server)
                seconds = time.monotonic() - began
                most = figures_of(port)["most"]
            peak = peak_resident(pid)
    print(f"{PENDING} pending after an outage are delivered in {seconds:.0f} s")
    print(f"requests at once in the first tenths of a second: {most[:20]}, at most {max(most)}")
    print(f"memory of the process: {idle // 1024} KiB during the outage, {peak // 1024} at most")


def gomail(port: int | None = None, data_dir: Path | None = None) -> Subject:
    """Return a GoMail server, not started, that delivers to this port."""
    subject = subjects()[-1]
    given = {} if port is None else {"MAIL_WEBHOOK_URL": f"http://127.0.0.1:{port}/mail"}
    given |= {} if data_dir is None else {"MAIL_DATA_DIR": str(data_dir)}
    return replace(subject, environment=subject.environment | given)


def post_steadily(server: Subject, seconds: int) -> None:
    """Post RATE messages per second, with as little CPU as possible: it shares the machine."""
    began, numbers = time.monotonic(), count()

    def work(_client: int) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            while (number := next(numbers)) < RATE * seconds:
                time.sleep(max(began + number / RATE - time.monotonic(), 0))
                connection.sendall(REQUEST % (f"{began}-{number}".encode(), MESSAGE))
                answer = connection.recv(4096)
                assert answer.startswith(b"HTTP/1.1 200 "), answer

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(work, range(CLIENTS)))


def wait_until_delivered(server: Subject) -> None:
    """Wait until no delivery is pending."""
    data_dir = Path(
        server.environment["MAIL_DATA_DIR"].format(BENCHMARK_DIRECTORY=server.directory)
    )
    with closing(SQLiteStore(data_dir)) as store:
        while any(each.state is State.PENDING for each in store.deliveries.figures()):
            time.sleep(0.05)


def resident(pid: int) -> int:
    return status_kilobytes(pid, "VmRSS") * 1024


def peak_resident(pid: int) -> int:
    return status_kilobytes(pid, "VmHWM") * 1024


def status_kilobytes(pid: int, name: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition(f"{name}:")[2].split()[0])


if __name__ == "__main__":
    main()
