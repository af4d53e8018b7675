import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import pytest
from support.deliveries import add_for, claim
from support.dispatching import endpoint, outcome
from support.server import wait_for

from app.deliveries import dispatcher as dispatching
from app.deliveries.dispatcher import Dispatcher
from app.deliveries.lane import Lane, Request
from app.deliveries.outcome import Outcome
from app.deliveries.workers import Sent, Workers
from app.errors import StorageUnavailable
from app.settings.endpoints import Deliveries, Endpoint
from app.storage.delivery import Claim, DeliveryQuery, State
from app.storage.memory import MemoryStore


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class Application:
    """Holds requests until it is let go; counts how many it has at once."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def send(self, _endpoint: Endpoint, _claim: Claim) -> Outcome:
        """Answer when it may."""
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.may_answer.wait(10)
        with self._lock:
            self.at_once -= 1
        return outcome(None)


def requests(count: int) -> list[Request]:
    """Return requests that have begun."""
    store = MemoryStore()
    for _ in range(count):
        add_for(store, "one")
    lane = Lane(endpoint("one", concurrency=count), time.monotonic)
    lane.waiting += claim(store.deliveries, "one")
    return [lane.begin(each) for each in list(lane.waiting)]


def all_ended(workers: Workers, count: int) -> list[Sent]:
    """Return the ends of so many requests."""
    ends: list[Sent] = []
    until = time.monotonic() + 10
    while len(ends) < count and time.monotonic() < until:
        ends += workers.ended(0.1)
    return ends


def test_so_many_at_once_and_no_more() -> None:
    """The rest waits for a thread, and has its turn."""
    application = Application()
    workers = Workers(application.send, 3, now)
    begun = requests(7)
    for each in begun:
        workers.begin(each)
    wait_for(lambda: application.at_once == 3)
    assert workers.ended(0.1) == []
    application.may_answer.set()
    ends = all_ended(workers, 7)
    assert {id(each.request) for each in ends} == set(map(id, begun))
    assert application.most_at_once == 3


def test_threads_are_started_as_they_are_needed() -> None:
    """One request after the other needs one, whatever is allowed."""
    application = Application()
    application.may_answer.set()
    before = threading.active_count()
    workers = Workers(application.send, 32, now)
    for each in requests(5):
        workers.begin(each)
        assert len(all_ended(workers, 1)) == 1
    assert threading.active_count() == before + 1


def test_what_fails_is_an_end_too() -> None:
    """Whatever a thread raises comes back, and the thread goes on."""

    def fail(*_: object) -> Outcome:
        raise ZeroDivisionError

    workers = Workers(fail, 1, now)
    for each in requests(2):
        workers.begin(each)
    assert [type(each.outcome) for each in all_ended(workers, 2)] == [ZeroDivisionError] * 2


def test_a_wait_can_be_ended() -> None:
    """As by a signal."""
    workers = Workers(Application().send, 1, now)
    threading.Timer(0.05, workers.wake).start()
    began = time.monotonic()
    assert workers.ended(10) == []
    assert time.monotonic() - began < 5


def test_without_threads_requests_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """At a limit of processes the log has one line, and they are sent once there is a thread."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    application = Application()
    application.may_answer.set()
    workers = Workers(application.send, 4, now)
    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", refuse)
        for each in requests(3):
            workers.begin(each)
        assert workers.ended(0) == []
    assert len(caplog.messages) == 1
    assert len(all_ended(workers, 3)) == 3


def test_threads_end_with_what_they_are_for() -> None:
    """Idle ones at once, a busy one when its request ends: a reload leaves none behind."""
    before = threading.active_count()
    application = Application()
    workers = Workers(application.send, 4, now)
    for each in requests(4):
        workers.begin(each)
    wait_for(lambda: application.at_once == 4)
    workers.close()
    assert threading.active_count() == before + 4
    application.may_answer.set()
    assert len(all_ended(workers, 4)) == 4
    wait_for(lambda: threading.active_count() == before)


def run(dispatcher: Dispatcher) -> threading.Thread:
    """Run a dispatcher in a thread."""
    thread = threading.Thread(target=dispatcher.run, daemon=True)
    thread.start()
    return thread


def test_a_dispatcher_with_threads() -> None:
    """It sends what is stored while it runs, and ends when it is told to."""
    store, application = MemoryStore(), Application()
    application.may_answer.set()
    workers = Workers(application.send, 4, now)
    dispatcher = Dispatcher(store, Deliveries((endpoint("one"),), 4), workers, now)
    thread = run(dispatcher)
    for _ in range(50):
        add_for(store, "one")
    wait_for(lambda: delivered(store) == 50)
    dispatcher.stop()
    thread.join(5)
    assert not thread.is_alive()


def test_a_data_directory_that_is_replaced_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits are watched over a connection that isn't kept for good."""
    store, application = MemoryStore(), Application()
    watches: list[object] = []
    watch = store.watch

    def counted() -> AbstractContextManager[Callable[[], int]]:
        watches.append(None)
        return watch()

    monkeypatch.setattr(dispatching, "REFRESH_SECONDS", 0.05)
    monkeypatch.setattr(store, "watch", counted)
    workers = Workers(application.send, 4, now)
    dispatcher = Dispatcher(store, Deliveries((endpoint("one"),), 4), workers, now)
    thread = run(dispatcher)
    wait_for(lambda: len(watches) >= 3)
    dispatcher.stop()
    thread.join(5)
    assert not thread.is_alive()


def delivered(store: MemoryStore) -> int:
    """Return how many deliveries have come to their end."""
    query = DeliveryQuery(state=State.DELIVERED, limit=1000)
    return len(store.deliveries.find(query).deliveries)


def test_a_store_that_fails_is_survived(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each time it is tried again, while the log has one line; then everything goes on."""
    store, application = MemoryStore(), Application()
    application.may_answer.set()
    calls: list[object] = []

    def fail(*arguments: object) -> None:
        calls.append(arguments)
        raise StorageUnavailable from OSError(5, "Input/output error")

    monkeypatch.setattr(dispatching, "RETRY_SECONDS", 0.05)
    workers = Workers(application.send, 4, now)
    dispatcher = Dispatcher(store, Deliveries((endpoint("one"),), 4), workers, now)
    add_for(store, "one")
    with monkeypatch.context() as context:
        context.setattr(store.deliveries, "next_due", fail)
        thread = run(dispatcher)
        wait_for(lambda: len(calls) >= 3)
    wait_for(lambda: delivered(store) == 1)
    lines = [each for each in caplog.messages if "store fails" in each]
    assert lines == [
        "Deliveries wait because the store fails: [Errno 5] Input/output error. Trying again."
    ]
    dispatcher.stop()
    thread.join(5)
    assert not thread.is_alive()
