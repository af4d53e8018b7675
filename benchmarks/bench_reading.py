"""How fast mail is read beside a million stored messages: `python benchmarks/bench_reading.py`.

Pages by cursor, recipient and time over HTTP, the commands that look something up, and what it
costs the way in that 64 clients wait for messages. The load is wrk, which shares the machine.
"""

import http.client
import json
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlencode

from bench_delivery import SIZES, run
from filled_store import FIRST, RECIPIENTS, fill, renumber
from subject import API_TOKEN, CHECKOUT, TOKEN, Subject, subjects

from app.reading.cursor import make_cursor
from app.storage.sqlite.store_id import store_id

STORED = 1_000_000
PAGES = 500
LOOK_UPS = 7
CONNECTIONS, ROUNDS, SECONDS = 16, 7, 4
WAITERS = 64
HEADERS = {"Authorization": f"Bearer {API_TOKEN}"}
HOUR = timedelta(hours=1)


def main() -> None:
    """Print what was measured."""
    wrk = shutil.which("wrk") or sys.exit("wrk isn't installed")
    with tempfile.TemporaryDirectory() as directory:
        data_dir = Path(directory)
        fill(data_dir, STORED)
        report_pages(data_dir, "whose index was made anew")
        renumber(data_dir)
        report_pages(data_dir, "in the order of their times")
        report_look_ups(data_dir)
    report_waiters(wrk)


def gomail(data_dir: Path | None = None) -> Subject:
    """Return GoMail with everything on, not started."""
    server = subjects()[-1]
    added = {"MAIL_API_TOKEN": API_TOKEN, "MAIL_API_RATE_LIMIT_PER_MINUTE": "0"}
    if data_dir is not None:
        added["MAIL_DATA_DIR"] = str(data_dir)
    return replace(server, environment=server.environment | added)


def report_pages(data_dir: Path, which: str) -> None:
    """Print the milliseconds of pages of 50 that begin anywhere, on one connection."""
    print(f"pages of {STORED} messages {which}, ms: p50, p99, most")
    with gomail(data_dir) as server, connected(server) as client:
        for name, query in queries(data_dir).items():
            milliseconds = [page_milliseconds(client, query()) for _ in range(PAGES)]
            cuts = statistics.quantiles(milliseconds, n=100)
            print(f"  {name:28}{cuts[49]:8.1f}{cuts[98]:8.1f}{max(milliseconds):8.1f}", flush=True)


def queries(data_dir: Path) -> dict[str, Callable[[], dict[str, str]]]:
    """Return what makes the parameters of each kind of page, another time or place each time."""
    identity = store_id(data_dir)
    with closing(sqlite3.connect(data_dir / "gomail.db")) as database:
        [[first, last]] = database.execute("SELECT min(number), max(number) FROM message")

    def cursor() -> str:
        return make_cursor(identity, random.randint(first, last))

    def moment() -> datetime:
        return FIRST + timedelta(seconds=random.randrange(STORED))

    def recipient() -> str:
        return f"b{random.randrange(RECIPIENTS)}@example.com"

    def hour() -> dict[str, str]:
        begin = moment()
        return {"since": begin.isoformat(), "until": (begin + HOUR).isoformat()}

    return {
        "newest": dict,
        "after a cursor": lambda: {"after": cursor()},
        "before a cursor": lambda: {"before": cursor()},
        "recipient": lambda: {"recipient": recipient()},
        "recipient, after a cursor": lambda: {"recipient": recipient(), "after": cursor()},
        "since": lambda: {"since": moment().isoformat()},
        "until": lambda: {"until": moment().isoformat()},
        "an hour": hour,
        "an hour, oldest first": lambda: {"after": "", **hour()},
        "recipient, since": lambda: {"recipient": recipient(), "since": moment().isoformat()},
        "subject (50,000 looked at)": lambda: {"subject": str(random.randrange(STORED))},
    }


def page_milliseconds(client: http.client.HTTPConnection, query: Mapping[str, str]) -> float:
    began = time.perf_counter()
    get_page(client, query)
    return (time.perf_counter() - began) * 1000


def get_page(
    client: http.client.HTTPConnection, query: Mapping[str, str]
) -> http.client.HTTPResponse:
    client.request("GET", f"/messages?{urlencode(query)}", headers=HEADERS)
    answer = client.getresponse()
    body = answer.read()
    assert answer.status == http.client.OK, body
    return answer


def report_look_ups(data_dir: Path) -> None:
    """Print the seconds of commands that look something up, with the start of Python."""
    with gomail(data_dir):
        [newest] = listed(data_dir, "--limit", "1")
        commands = {
            "list": ["list"],
            "list --recipient": ["list", "--recipient", "b7@example.com"],
            "show ID": ["show", newest],
        }
        print("seconds of `flask gomail messages`: median, most")
        for name, arguments in commands.items():
            seconds = [command_seconds(data_dir, arguments) for _ in range(LOOK_UPS)]
            print(f"  {name:28}{statistics.median(seconds):8.2f}{max(seconds):8.2f}", flush=True)


def report_waiters(wrk: str) -> None:
    """Print how fast messages come in beside WAITERS, and without them, in turns."""
    with gomail() as server:
        run(wrk, server, SIZES["4 KiB"], CONNECTIONS, 1)
        rates: dict[bool, list[float]] = {False: [], True: []}
        for number in range(2 * ROUNDS):
            with_waiters = number % 4 in {1, 2}
            with waiting(server, WAITERS if with_waiters else 0):
                figures = run(wrk, server, SIZES["4 KiB"], CONNECTIONS, SECONDS)
            rates[with_waiters].append(figures.rate)
    ratio = statistics.median(rates[True]) / statistics.median(rates[False])
    print(f"messages/s with {WAITERS} waiters / with none: {ratio:.3f}", rates)


@contextmanager
def waiting(server: Subject, count: int) -> Iterator[None]:
    """Keep that many clients waiting for mail to somebody who gets none until the end."""
    is_over = Event()
    address = f"{uuid.uuid4().hex}@example.com"
    waiters = [
        Thread(target=wait_again_and_again, args=(server, address, is_over)) for _ in range(count)
    ]
    for waiter in waiters:
        waiter.start()
    time.sleep(1)
    yield
    is_over.set()
    deliver(server, address)
    for waiter in waiters:
        waiter.join()


def deliver(server: Subject, recipient: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "message/rfc822"}
    with connected(server) as client:
        raw = f"From: a@example.com\r\nTo: {recipient}\r\n\r\n".encode()
        client.request("POST", "/mail/inbound", raw, headers)
        answer = client.getresponse()
        assert answer.status == http.client.OK, answer.read()


def wait_again_and_again(server: Subject, address: str, is_over: Event) -> None:
    query = {"after": "", "wait": "20", "recipient": address}
    with connected(server) as client:
        while not is_over.is_set():
            answer = get_page(client, query)
            if retry_after := answer.headers["Retry-After"]:  # more than its worker takes
                is_over.wait(float(retry_after))


def listed(data_dir: Path, *arguments: str) -> list[str]:
    """Return the ids that `messages list` shows."""
    output = command(data_dir, ["list", "--json", *arguments])
    return [message["id"] for message in json.loads(output)]


def command_seconds(data_dir: Path, arguments: Sequence[str]) -> float:
    began = time.perf_counter()
    command(data_dir, arguments)
    return time.perf_counter() - began


def command(data_dir: Path, arguments: Sequence[str]) -> bytes:
    return subprocess.run(
        [Path(sys.executable).with_name("flask"), "gomail", "messages", *arguments],
        env=os.environ | {"MAIL_DATA_DIR": str(data_dir), "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        check=True,
    ).stdout


@contextmanager
def connected(server: Subject) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as client:
        yield client


if __name__ == "__main__":
    main()
