"""Endpoints that hang, beside one that doesn't, under a real server."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from support.configured import settings_writer
from support.rounds import rounds
from support.server import NewServer, Server, wait_for
from support.webhook import Webhook, webhook

TOKEN = "token-" + "t" * 40
HANGING = 10
RATE = 200
SECONDS = rounds(30, 10)
CLIENTS = 4

pytestmark = [pytest.mark.alone, pytest.mark.thorough]


@pytest.fixture
def hooks() -> Iterator[tuple[Webhook, Webhook]]:
    """Return an application that answers, and one that never does."""
    is_over = threading.Event()
    with ExitStack() as stack:
        healthy, hanging = (stack.enter_context(webhook()) for _ in range(2))
        stack.callback(is_over.set)
        hanging.answer = lambda _: 200 if is_over.wait(600) else 500
        yield healthy, hanging


def endpoints(healthy: Webhook, hanging: Webhook) -> list[dict[str, object]]:
    """Return the configuration: each endpoint has the mail of a domain."""
    found: list[dict[str, object]] = [
        {"name": "healthy", "url": healthy.url, "recipients": ["*@healthy.example"]}
    ]
    for number in range(HANGING):
        recipients = [f"*@hangs{number}.example"]
        name = f"hangs{number}"
        found.append({"name": name, "url": hanging.url, "recipients": recipients, "timeout": 5})
    return found


def post(server: Server, domain: str, number: int) -> tuple[str, float]:
    """Deliver a message; return the id at the application, and when the answer was there."""
    headers = {
        "Authorization": f"Bearer {TOKEN}",
        "Content-Type": "message/rfc822",
        "X-Original-Sender": "ann@example.org",
        "X-Original-Recipient": f"bob@{domain}",
    }
    answer = server.request("POST", "/mail/inbound", f"Subject: {number}\r\n\r\nHi", headers)
    assert answer.status == 200, answer.body
    return f"msg_{answer.json()['message_id']}", time.monotonic()


def post_steadily(server: Server) -> dict[str, float]:
    """Deliver RATE messages a second for SECONDS; return when each was stored."""
    began, numbers = time.monotonic(), count()
    posted: dict[str, float] = {}

    def work(_client: int) -> None:
        while (number := next(numbers)) < RATE * SECONDS:
            time.sleep(max(began + number / RATE - time.monotonic(), 0))
            posted.update([post(server, "healthy.example", number)])

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(work, range(CLIENTS)))
    return posted


@pytest.mark.promise("no endpoint delays another")
def test_hanging_endpoints_delay_no_other(
    new_server: NewServer,
    tmp_path: Path,
    hooks: tuple[Webhook, Webhook],
    record_property: Callable[[str, object], None],
) -> None:
    """Ten hang, with mail for each of them: 99 of 100 others are there within a second."""
    healthy, hanging = hooks
    file = tmp_path / "gomail.yaml"
    settings_writer(file, TOKEN)(rate_limit_per_minute=0, endpoints=endpoints(healthy, hanging))
    server = new_server(config=file, rate_limit_per_minute=None, log_level="warning").start()
    for number in range(HANGING * 20):
        post(server, f"hangs{number % HANGING}.example", number)
    posted = post_steadily(server)
    wait_for(lambda: posted.keys() <= healthy.answered_at.keys(), 30)
    seconds = sorted(max(healthy.answered_at[each] - at, 0) for each, at in posted.items())
    p50, p99 = (seconds[len(seconds) * percent // 100] for percent in (50, 99))
    told = f"{len(seconds)} messages, p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms"
    print(told)
    record_property("rounds", told)
    assert p99 < 1
    assert max(Counter(healthy.ids()).values()) == 1
    assert len(hanging.pushes) >= HANGING
