"""Several processes store the same messages, and a reader pages beside them."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from support.postgresql_databases import Databases

from app.storage.ids import new_message_id
from app.storage.interface import Query
from app.storage.message import Envelope, Message, Reason, Receipt
from app.storage.postgresql.spooled_body import LARGE_MESSAGE_BYTES
from app.storage.postgresql.store import PostgreSQLStore

NewStore = Callable[[], PostgreSQLStore]
START = datetime(2026, 3, 1, tzinfo=UTC)


def add(store: PostgreSQLStore, number: int, prefix: str = "same", size: int = 9) -> Receipt:
    body = store.new_body()
    body.write(b"x" * size)
    at = START + timedelta(milliseconds=number)
    key = f"{prefix}-{number}"
    return store.add(Message(new_message_id(at), at, Envelope("a@b", "c@d"), "", key), body)


def deadlocks(databases: Databases, url: str) -> int:
    name = url.rpartition("/")[2]
    found = databases.server.execute(
        f"SELECT deadlocks FROM pg_stat_database WHERE datname = '{name}'"
    )
    return int(found[0][0])


def test_the_same_messages_in_opposite_orders_do_not_deadlock(
    databases: Databases, database_url: str, new_store: NewStore
) -> None:
    """1,200 messages by two processes, 40 at the same moment: each is stored once."""
    one, other = new_store(), new_store()
    made = list[Receipt]()
    with ThreadPoolExecutor(80) as pool:
        for first in range(0, 1200, 40):
            numbers = range(first, first + 40)
            at_once = threading.Barrier(80)
            receipts = [
                pool.submit(add_at_once, at_once, store, number)
                for store, order in ((one, numbers), (other, reversed(numbers)))
                for number in order
            ]
            made += [each.result() for each in receipts]
    assert sum(not receipt.duplicate for receipt in made) == 1200
    assert len({receipt.message_id for receipt in made}) == 1200
    assert one.count(Query()) == one.statistics().messages == 1200
    assert deadlocks(databases, database_url) == 0


def add_at_once(at_once: threading.Barrier, store: PostgreSQLStore, number: int) -> Receipt:
    at_once.wait()
    return add(store, number)


def test_removals_beside_repeats_do_not_deadlock(
    databases: Databases, database_url: str, new_store: NewStore
) -> None:
    """What is deleted is deleted once, and its repeats that arrive meanwhile are recognized."""
    one, other = new_store(), new_store()
    with ThreadPoolExecutor(64) as pool:
        ids = [each.message_id for each in pool.map(lambda n: add(one, n), range(600))]
        repeats = [pool.submit(add, one, number * 7 % 600) for number in range(1800)]
        parts = [ids[start:] + ids[:start] for start in range(0, 600, 60)]
        removed = list(pool.map(lambda part: other.remove(part, Reason.REQUEST), parts))
        assert all(each.result().duplicate for each in repeats)
    assert sorted(each for some in removed for each in some) == sorted(ids)
    assert one.count(Query()) == one.statistics().messages == one.statistics().bytes == 0
    assert deadlocks(databases, database_url) == 0


@pytest.mark.parametrize("pages", [True, False], ids=["pages", "arrivals"])
def test_a_reader_sees_each_message_once_beside_four_writers(
    new_store: NewStore, pages: bool
) -> None:
    """Whatever order they commit in: some messages are large, and take longer than others."""
    writers = [new_store() for _ in range(4)]
    reader = new_store()
    is_over = threading.Event()
    seen = list[int]()

    def write(host: int) -> None:
        for number in range(150):
            size = LARGE_MESSAGE_BYTES + 1 if number % 30 == host else 9
            add(writers[host], number, f"host-{host}", size)

    def read() -> None:
        last = 0
        while True:
            was_over = is_over.is_set()
            page = reader.page(Query(after=last, limit=20, oldest_first=True), 100)
            seen.extend(each.number for each in page.messages)
            last = page.position or last
            if was_over and not page.has_more:
                return

    def follow() -> None:
        last = 0
        while True:
            was_over = is_over.is_set()
            now = reader.arrivals(last).number
            seen.extend(
                each.number
                for each in reader.search(Query(after=last, before=now + 1, oldest_first=True))
            )
            if was_over and now == last:
                return
            last = now

    with ThreadPoolExecutor(9) as pool:
        reading = pool.submit(read if pages else follow)
        list(pool.map(write, [0, 1, 2, 3, 0, 1, 2, 3]))  # twice: half of them are repeats
        is_over.set()
        reading.result()
    stored = [each.number for each in reader.search(Query(oldest_first=True))]
    assert len(stored) == 600
    assert seen == stored
