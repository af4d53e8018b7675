"""Long polling (GET /messages?wait=) on a server with several workers."""

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from support.rounds import rounds
from support.server import Answer, NewServer, Server, wait_for
from support.upload import Upload

from app.reading.arrival_watch import MOST_WAITING
from app.settings.model import WAITING_THREADS

WORKERS = 2
RAW = b"From: ann@example.com\r\nTo: bob@example.com\r\n\r\n"
ANSWER_SECONDS = 0.5


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3 * MOST_WAITING) as pool:
        yield pool


def ask(server: Server, query: str) -> Answer:
    headers = {"Authorization": f"Bearer {server.api_token}"}
    return server.request("GET", f"/messages?{query}", headers=headers)


def page_of(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    page: dict[str, Any] = json.loads(answer.body)
    return page


def waiting(
    server: Server, pool: ThreadPoolExecutor, count: int, query: str = "wait=20"
) -> list[Future[Answer]]:
    """Start `count` requests that wait for messages after the last one; return when all wait."""
    cursor = page_of(ask(server, "after="))["next"]
    waits = [pool.submit(ask, server, f"after={cursor}&{query}") for _ in range(count)]
    wait_for(lambda: in_flight(server) >= count + 1)
    time.sleep(0.3)
    assert not any(each.done() for each in waits)
    return waits


def in_flight(server: Server) -> int:
    found: int = json.loads(server.request("GET", "/metrics").body)["active_requests"]
    return found


def test_a_message_at_any_worker_ends_the_waits_at_all(
    new_server: NewServer, pool: ThreadPoolExecutor
) -> None:
    """Eight waits, at both workers, are answered within half a second of the delivery."""
    server = new_server(workers=WORKERS).start()
    for _ in range(3):
        waits = waiting(server, pool, 8)
        delivered = json.loads(server.deliver(RAW + b"%f" % time.monotonic()).body)
        began = time.monotonic()
        pages = [page_of(each.result(5)) for each in waits]
        assert time.monotonic() - began < ANSWER_SECONDS
        for page in pages:
            assert [each["id"] for each in page["messages"]] == [delivered["message_id"]]


def test_a_wait_may_be_longer_than_a_client_may_take_to_send(new_server: NewServer) -> None:
    """handler_timeout applies to clients that send slowly, not to those that wait."""
    server = new_server(handler_timeout=1).start()
    began = time.monotonic()
    assert page_of(ask(server, "after=&wait=3"))["messages"] == []
    assert 3 <= time.monotonic() - began < 4


def test_a_stop_ends_all_waits(new_server: NewServer, pool: ThreadPoolExecutor) -> None:
    """At once, with 200 and an empty page; the stop isn't delayed."""
    server = new_server(workers=WORKERS).start()
    waits = waiting(server, pool, 6)
    server.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert [page_of(each.result(5))["messages"] for each in waits] == [[]] * 6
    assert time.monotonic() - began < 1
    assert server.wait() == 0


def test_one_wait_too_many_is_answered_at_once(
    new_server: NewServer, pool: ThreadPoolExecutor
) -> None:
    """With an empty page and Retry-After; the other waits continue, and mail is accepted."""
    server = new_server(workers=1, threads=4).start()
    waits = waiting(server, pool, MOST_WAITING, "wait=20&recipient=bob@example.com")
    began = time.monotonic()
    answer = ask(server, "after=&wait=20")
    assert (page_of(answer)["messages"], answer.headers["Retry-After"]) == ([], "1")
    assert time.monotonic() - began < ANSWER_SECONDS
    delivered = server.deliver(RAW)
    assert delivered.status == 200
    assert all(len(page_of(each.result(5))["messages"]) == 1 for each in waits)


def test_a_reader_gets_each_message_once_while_all_workers_write(
    new_server: NewServer, pool: ThreadPoolExecutor
) -> None:
    """A reader that follows `next`, and waits at the end, misses none that arrive meanwhile."""
    server = new_server(workers=4).start()
    messages = rounds(2000, 200)

    def write(writer: int) -> list[str]:
        answers = [server.deliver(RAW + b"%d-%d" % (writer, each)) for each in range(messages // 8)]
        return [json.loads(each.body)["message_id"] for each in answers]

    writing = [pool.submit(write, writer) for writer in range(8)]
    seen: list[str] = []
    cursor, pages = "", 0
    while True:
        is_last = all(each.done() for each in writing)
        page = page_of(ask(server, f"after={cursor}&limit=7&wait={0 if is_last else 1}"))
        seen += [each["id"] for each in page["messages"]]
        cursor, pages = page["next"], pages + 1
        if is_last and not page["messages"]:
            break
    written = [message_id for each in writing for message_id in each.result()]
    assert sorted(seen) == sorted(written)
    assert len(set(seen)) == messages // 8 * 8
    assert pages > messages / 7


def test_waits_and_half_bodies_leave_threads_for_others(
    new_server: NewServer, pool: ThreadPoolExecutor
) -> None:
    """With the most waits and slow uploads, a probe is answered at once, and mail is accepted."""
    server = new_server(workers=1, threads=1).start()
    # The waits come first: they don't use the threads that are for uploads.
    waits = waiting(server, pool, MOST_WAITING, "wait=20&recipient=bob@example.com")
    uploads = uploads_beside_waits(server, 1 + WAITING_THREADS)
    try:
        began = time.monotonic()
        assert server.request("GET", "/health").status == 200
        assert time.monotonic() - began < 0.3
        assert server.deliver(RAW).status == 200
        assert all(len(page_of(each.result(5))["messages"]) == 1 for each in waits)
    finally:
        for upload in uploads:
            upload.close()


def uploads_beside_waits(server: Server, count: int) -> list[Upload]:
    """Return `count` unfinished uploads, when the server has them and MOST_WAITING waits."""
    uploads = [Upload(server, f"slow{number}") for number in range(count)]
    wait_for(lambda: in_flight(server) == count + MOST_WAITING + 1)
    return uploads
