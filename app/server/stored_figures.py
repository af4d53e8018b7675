"""Reads the store's figures for the metrics, within a bounded time."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import datetime

from app.errors import StorageUnavailable
from app.metrics.delivery_families import DeliveryFigures
from app.metrics.stored import Figures
from app.services import now
from app.storage.delivery import State
from app.storage.interface import MessageStore

MOST_SECONDS = 0.5


class StoredFigures:
    """Reads in a thread of its own, for which nobody waits longer than MOST_SECONDS.

    A disk that hangs keeps one thread and no scrape.
    """

    def __init__(self, store: MessageStore, clock: Callable[[], datetime] = now) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._reader = ThreadPoolExecutor(1, "figures")
        self._reading: Future[Figures] | None = None

    def __call__(self) -> Figures | None:
        """Return the figures; None when they can't be read, or not in time."""
        with self._lock:
            if self._reading is None or self._reading.done():
                self._reading = self._reader.submit(self._read)
            reading = self._reading
        try:
            return reading.result(MOST_SECONDS)
        except (StorageUnavailable, FutureTimeoutError):
            return None

    def _read(self) -> Figures:
        found = self._store.statistics()
        ran_at = found.retention_ran_at
        return Figures(
            messages=found.messages,
            bytes=found.bytes,
            deleted={str(reason): count for reason, count in found.deleted.items()},
            passed_over=found.passed_over,
            retention_ran_at=ran_at.timestamp() if ran_at else 0,
            kept_for_delivery=found.kept_for_delivery,
            deliveries=self._read_deliveries(),
        )

    def _read_deliveries(self) -> DeliveryFigures:
        figures = self._store.deliveries.figures()
        now = self._clock()
        return DeliveryFigures(
            counts={(each.endpoint, str(each.state)): each.count for each in figures},
            oldest_pending={
                each.endpoint: max((now - each.oldest_created_at).total_seconds(), 0)
                for each in figures
                if each.state is State.PENDING
            },
            paused=frozenset(self._store.deliveries.paused()),
        )
