"""What bench_cpu.py measures: requests one after another on one connection, and deliveries.

Each has a server of its own, with one worker and one thread.
"""

import http.client
import json
import re
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path

from endpoint import requests_to, sink
from filled_store import fill
from subject import API_TOKEN, HERE, TOKEN, Subject, free_port, subjects

MESSAGE_BYTES = 4096
MESSAGES = 10_000
"""How many are stored; more than are delivered."""
HEAD = b"From: ann@example.org\r\nTo: bob@example.com\r\nSubject: Hello\r\n\r\n"
RAW = HEAD.ljust(MESSAGE_BYTES, b"x")
# What follows the subject of a stored message.
REST = (
    b"From: Ann Example <ann@example.org>\r\nTo: Bob Example <bob@example.com>\r\n"
    b"Date: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
)
LINE = b"x" * 70 + b"\r\n"
STORED = REST + LINE * ((MESSAGE_BYTES - len(REST)) // len(LINE))


@dataclass(frozen=True)
class Operation:
    """Something that one process of a server, whose id `process` returns, does again and again.

    `carry_out` returns after that many times, or some more; it returns how many. `hooks` is the
    Gunicorn configuration that counts it.
    """

    name: str
    subject: Subject
    carry_out: Callable[[Subject, int], int]
    process: Callable[[Subject], int] = Subject.worker
    hooks: Path = HERE / "subjects" / "counting_requests.py"


def incoming() -> list[Operation]:
    """Return the way in of the floor and of GoMail."""
    floor, _, gomail = map(with_one_thread, subjects())
    return [Operation(each.name, each, post) for each in (floor, gomail)]


@contextmanager
def outgoing() -> Iterator[list[Operation]]:
    """Yield the two kinds of reads, and a delivery, over stored messages of 4 KiB."""
    port = free_port()
    with ExitStack() as stack:
        stored, pending = (
            Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)
        )
        fill(stored, MESSAGES, rest=STORED)
        fill(pending, MESSAGES, ("webhook",), STORED)
        stack.enter_context(sink(port, 0))
        yield [
            Operation("`GET /messages/{id}`", gomail(stored), get_message),
            Operation("page of 50", gomail(stored), partial(get, "/messages?limit=50")),
            Operation(
                "delivery",
                gomail(pending, port),
                lambda _, number: await_deliveries(port, number),
                partial(Subject.child, name="deliveries"),
                HERE / "subjects" / "counting_deliveries.py",
            ),
        ]


def gomail(data_dir: Path, port: int | None = None) -> Subject:
    """Return GoMail, not started; it delivers to `port` if that is given, one at a time."""
    subject = with_one_thread(subjects()[-1])
    added = {
        "MAIL_DATA_DIR": str(data_dir),
        "MAIL_API_TOKEN": API_TOKEN,
        "MAIL_API_RATE_LIMIT_PER_MINUTE": "1000000",
    }
    if port is not None:
        endpoint = {"name": "webhook", "url": f"http://127.0.0.1:{port}/mail", "concurrency": 1}
        file = data_dir / "gomail.json"
        file.write_text(json.dumps({"endpoints": [endpoint]}), encoding="utf-8")
        added["MAIL_CONFIG"] = str(file)
    return replace(subject, environment=subject.environment | added)


def with_one_thread(subject: Subject) -> Subject:
    """Return a subject with one worker and one thread."""
    command = [re.sub(r"^[28]$", "1", part) for part in subject.command]
    added = {"MAIL_WORKERS": "1", "MAIL_THREADS": "1"}
    return replace(subject, command=command, environment=subject.environment | added)


_keys = count()


def post(server: Subject, number: int) -> int:
    """Send new messages of 4 KiB."""
    fixed = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "message/rfc822"}
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        for _ in range(number):
            headers = fixed | {"Idempotency-Key": f"message-{next(_keys):06}"}
            ask(connection, "POST", "/mail/inbound", RAW, headers)
    return number


def get_message(server: Subject, number: int) -> int:
    """Read a message."""
    with closing(sqlite3.connect(Path(server.environment["MAIL_DATA_DIR"]) / "gomail.db")) as index:
        [message_id] = index.execute("SELECT id FROM message").fetchone()
    return get(f"/messages/{message_id}", server, number)


def get(path: str, server: Subject, number: int) -> int:
    """Read from the API."""
    headers = {"Authorization": f"Bearer {API_TOKEN}"}
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        for _ in range(number):
            ask(connection, "GET", path, None, headers)
    return number


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None,
    headers: Mapping[str, str],
) -> None:
    """Make a request; ends the program unless the answer is 200."""
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise SystemExit(f"{answer.status} answered: the figures are worthless.")


def await_deliveries(port: int, number: int) -> int:
    """Wait until an endpoint has received that many more messages, or some more."""
    before = requests_to(port)
    while (received := requests_to(port) - before) < number:
        time.sleep(0.01)
    return received
