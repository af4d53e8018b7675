"""Waiting for messages: which waits end, when, and how many queries that takes."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.server import wait_for
from support.store import AT

from app.errors import StorageUnavailable
from app.reading.arrival_watch import MOST_WAITING
from app.reading.reader import Reader, Waited
from app.storage.ids import new_message_id
from app.storage.interface import MessageStore, Page, Query
from app.storage.memory import MemoryStore
from app.storage.message import Envelope, Message, Reason
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore

FROM_THE_FIRST = Query(limit=50, oldest_first=True)
ANSWER_SECONDS = 0.5


def add(store: MessageStore, recipient: str = "bob@example.com") -> str:
    message_id = new_message_id(AT)
    body = store.new_body()
    body.write(b"\r\n")
    store.add(Message(message_id, AT, Envelope("a@b", recipient), "", message_id), body)
    return message_id


def ids(waited: Waited) -> list[str]:
    return [each.message_id for each in waited.page.messages]


def is_watching() -> bool:
    return any(thread.name == "arrivals" for thread in threading.enumerate())


class CountingStore(MemoryStore):
    """Counts queries; can fail to be watched, or delay it."""

    def __init__(self) -> None:
        super().__init__()
        self.pages = 0
        self.fails = False
        self.may_be_watched = threading.Event()
        self.may_be_watched.set()

    def page(self, query: Query, scan_limit: int) -> Page:
        """See MessageStore.page."""
        self.pages += 1
        return super().page(query, scan_limit)

    @contextmanager
    def watch(self) -> Iterator[Callable[[], int]]:
        """See MessageStore.watch."""
        assert self.may_be_watched.wait(5)
        with super().watch() as version:

            def look() -> int:
                if self.fails:
                    raise StorageUnavailable
                return version()

            yield look


@pytest.fixture
def counting() -> CountingStore:
    return CountingStore()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as pool:
        yield pool
    wait_for(lambda: not is_watching(), 2)  # the thread ends with the last wait


def waiting(
    pool: ThreadPoolExecutor, reader: Reader, query: Query = FROM_THE_FIRST, seconds: float = 10
) -> Future[Waited]:
    """Start a wait, and return its future once it waits."""
    future = pool.submit(reader.wait, query, seconds)
    wait_for(is_watching, 2)
    time.sleep(0.2)
    assert not future.done()
    return future


def test_stored_messages_are_returned_at_once(store: MessageStore) -> None:
    """Without a wait, and without a watching thread."""
    message_id = add(store)
    reader = Reader(store, lambda: False)
    assert ids(reader.wait(FROM_THE_FIRST, 10)) == [message_id]
    assert not is_watching()
    last = replace(FROM_THE_FIRST, after=store.get(message_id).number)
    assert ids(reader.wait(last, 0)) == []


def test_a_message_ends_the_wait(store: MessageStore, pool: ThreadPoolExecutor) -> None:
    """The page has the message, within half a second."""
    waited = waiting(pool, Reader(store, lambda: False))
    began = time.monotonic()
    message_id = add(store)
    assert ids(waited.result(2)) == [message_id]
    assert time.monotonic() - began < ANSWER_SECONDS


def test_a_message_from_another_process_ends_the_wait(
    data_dir: Path, pool: ThreadPoolExecutor
) -> None:
    """Another process is represented by another store on the same directory."""
    create_store(data_dir).close()
    with closing(SQLiteStore(data_dir)) as mine, closing(SQLiteStore(data_dir)) as others:
        waited = waiting(pool, Reader(mine, lambda: False))
        began = time.monotonic()
        message_id = add(others)
        assert ids(waited.result(2)) == [message_id]
        assert time.monotonic() - began < ANSWER_SECONDS
        wait_for(lambda: not is_watching(), 2)  # its connection has to be closed with the store


def test_a_wait_without_a_message_ends_in_time(
    store: MessageStore, pool: ThreadPoolExecutor
) -> None:
    """With an empty page, and not too early."""
    reader = Reader(store, lambda: False)
    began = time.monotonic()
    waited = pool.submit(reader.wait, FROM_THE_FIRST, 0.4).result(2)
    assert (ids(waited), waited.was_refused) == ([], False)
    assert 0.4 <= time.monotonic() - began < 0.4 + ANSWER_SECONDS


def test_mail_for_others_causes_no_query(counting: CountingStore, pool: ThreadPoolExecutor) -> None:
    """A message to Carl wakes no wait for messages to Bob."""
    reader = Reader(counting, lambda: False)
    bob = replace(FROM_THE_FIRST, recipient="BOB@example.com")
    waited = [waiting(pool, reader, bob) for _ in range(3)]
    time.sleep(0.5)
    looks = counting.pages
    for _ in range(5):
        add(counting, "carl@example.com")
        time.sleep(0.1)
    assert counting.pages == looks
    message_id = add(counting)
    assert [ids(each.result(2)) for each in waited] == [[message_id]] * 3


def test_a_wait_for_a_rare_message_queries_seldom(
    counting: CountingStore, pool: ThreadPoolExecutor
) -> None:
    """Although other messages arrive often, queries are at least PAUSE_SECONDS apart."""
    ends = threading.Event()
    rare = replace(FROM_THE_FIRST, subject="rare")
    waited = waiting(pool, Reader(counting, ends.is_set), rare)
    time.sleep(0.4)
    looks = counting.pages
    for _ in range(20):
        add(counting)
        time.sleep(0.05)
    assert 1 <= counting.pages - looks <= 5
    assert not waited.done()
    ends.set()


def test_the_number_of_waits_is_limited(counting: CountingStore, pool: ThreadPoolExecutor) -> None:
    """Another one is refused at once; when others have ended, it may wait."""
    ends = threading.Event()
    reader = Reader(counting, ends.is_set)
    waits = [pool.submit(reader.wait, FROM_THE_FIRST, 10) for _ in range(MOST_WAITING)]
    wait_for(lambda: counting.pages >= 2 * MOST_WAITING, 2)
    began = time.monotonic()
    waited = reader.wait(FROM_THE_FIRST, 10)
    assert waited.was_refused
    assert time.monotonic() - began < 0.1
    assert not any(each.done() for each in waits)
    add(counting)
    assert all(len(ids(each.result(2))) == 1 for each in waits)
    last = replace(FROM_THE_FIRST, after=1)
    assert not reader.wait(last, 0.1).was_refused


def test_a_drain_ends_all_waits(store: MessageStore, pool: ThreadPoolExecutor) -> None:
    """With an empty page; a request that comes during the drain doesn't wait."""
    draining = threading.Event()
    reader = Reader(store, draining.is_set)
    waits = [waiting(pool, reader) for _ in range(3)]
    draining.set()
    began = time.monotonic()
    assert [ids(each.result(2)) for each in waits] == [[], [], []]
    assert time.monotonic() - began < 1
    began = time.monotonic()
    reader.wait(FROM_THE_FIRST, 10)
    assert time.monotonic() - began < 0.5


def test_a_store_that_fails_for_a_moment_ends_no_wait(
    counting: CountingStore, pool: ThreadPoolExecutor
) -> None:
    """A message that arrives afterwards is found."""
    waited = waiting(pool, Reader(counting, lambda: False))
    counting.fails = True
    time.sleep(0.3)
    assert not waited.done()
    counting.fails = False
    message_id = add(counting)
    assert ids(waited.result(2)) == [message_id]


def test_a_message_before_the_watch_begins_is_noticed(
    counting: CountingStore, pool: ThreadPoolExecutor
) -> None:
    """One stored after the query of the wait, before the thread reads the first version."""
    counting.may_be_watched.clear()
    waited = pool.submit(Reader(counting, lambda: False).wait, FROM_THE_FIRST, 10)
    wait_for(lambda: counting.pages == 2, 2)
    message_id = add(counting)
    counting.may_be_watched.set()
    assert ids(waited.result(2)) == [message_id]


def test_no_second_thread_watches(pool: ThreadPoolExecutor) -> None:
    """Also when somebody comes in the moment in which the first one has nobody left."""
    waits: list[Future[Waited]] = []

    class Store(MemoryStore):
        @contextmanager
        def watch(self) -> Iterator[Callable[[], int]]:
            with super().watch() as version:
                yield version
            if not waits:  # the thread has found that nobody waits, and is about to end
                waits.append(pool.submit(reader.wait, FROM_THE_FIRST, 0.6))
                time.sleep(0.2)

    reader = Reader(Store(), lambda: False)
    reader.wait(FROM_THE_FIRST, 0.1)
    wait_for(lambda: bool(waits), 2)
    time.sleep(0.4)
    assert [thread.name for thread in threading.enumerate()].count("arrivals") == 1
    assert ids(waits[0].result(2)) == []


def test_a_deletion_ends_no_wait(store: MessageStore, pool: ThreadPoolExecutor) -> None:
    """It changes the version, but no message has arrived."""
    message_id = add(store)
    after = replace(FROM_THE_FIRST, after=store.get(message_id).number)
    waited = waiting(pool, Reader(store, lambda: False), after)
    store.remove([message_id], Reason.REQUEST)
    time.sleep(0.4)
    assert not waited.done()
    new = add(store)
    assert ids(waited.result(2)) == [new]
