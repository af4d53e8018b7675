import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.deliveries import add_for, at, attempt, claim
from support.store import add

from app.metrics.delivery_families import DeliveryFigures
from app.metrics.stored import Figures
from app.server.stored_figures import StoredFigures
from app.settings import Storage
from app.storage.delivery import Result, State
from app.storage.factory import open_store
from app.storage.memory import MemoryStore
from app.storage.message import Reason, Statistics
from app.storage.sqlite.creation import create_store

RAN_AT = datetime(2026, 3, 1, tzinfo=UTC)
NO_DELIVERIES = DeliveryFigures({}, {}, frozenset())


def test_they_are_those_of_the_store(data_dir: Path) -> None:
    """At each call anew: what is stored, what was deleted and why, when retention ran."""
    with closing(create_store(data_dir)) as store:
        figures = StoredFigures(store)
        assert figures() == Figures(0, 0, {"request": 0, "retention": 0}, 0, 0, 0, NO_DELIVERIES)
        ids = [add(store, b"x" * 100, key=str(number)) for number in range(3)]
        store.remove(ids[:1], Reason.RETENTION)
        store.note_retention(RAN_AT, 2)
        deleted = {"request": 0, "retention": 1}
        expected = Figures(2, 200, deleted, 0, RAN_AT.timestamp(), 2, NO_DELIVERIES)
        assert figures() == expected


def test_a_store_that_cannot_be_read_has_none(data_dir: Path) -> None:
    """Until it can be read."""
    with closing(open_store(Storage(data_dir))) as store:
        figures = StoredFigures(store)
        assert figures() is None
        create_store(data_dir).close()
        assert figures() == Figures(0, 0, {"request": 0, "retention": 0}, 0, 0, 0, NO_DELIVERIES)


class Hanging(MemoryStore):
    """A store on a disk that doesn't answer until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.let_go = threading.Event()

    def statistics(self) -> Statistics:
        self.calls += 1
        self.let_go.wait(30)
        return super().statistics()


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    """Return a store that hangs until the test is over."""
    store = Hanging()
    yield store
    store.let_go.set()


def test_a_disk_that_hangs_keeps_nobody_waiting(hanging: Hanging) -> None:
    """Ten calls at once take less than a second, with one reading for all; later it is well."""
    figures = StoredFigures(hanging)
    answers: list[Figures | None] = []
    threads = [threading.Thread(target=lambda: answers.append(figures())) for _ in range(10)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began < 1
    assert (answers, hanging.calls) == ([None] * 10, 1)
    hanging.let_go.set()
    figures()
    assert figures() is not None


def test_they_have_the_deliveries(data_dir: Path) -> None:
    """Counts, the age of the oldest that is pending, and which endpoints are paused."""
    with closing(create_store(data_dir)) as store:
        figures = StoredFigures(store, lambda: at(90))
        add_for(store, "app", "crm", seconds=0)
        add_for(store, "app", seconds=30)
        [first, *_] = claim(store.deliveries, "crm")
        store.deliveries.finish([Result(first, State.DELIVERED, None, True, attempt(), None)])
        store.deliveries.pause("app", "by hand")
        found = figures()
    assert found is not None
    assert found.deliveries == DeliveryFigures(
        {("app", "pending"): 2, ("crm", "delivered"): 1}, {"app": 90}, frozenset({"app"})
    )
