"""Wakes the requests that wait for messages, whichever process has stored them.

While any request waits in a worker, one thread polls the store ten times a second, for little more
than a number. It wakes only the requests whose recipient has got a message, since the query of a
woken request costs more than the polling does.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from app.domains import comparable_address
from app.errors import StorageUnavailable
from app.storage.interface import MessageStore

MOST_WAITING = 32
"""Per worker; each waiting request occupies a thread."""
POLL_SECONDS = 0.1

_log = logging.getLogger(__name__)


class Waiter:
    """A request that waits for a message to `recipient`, or to anyone if that is None."""

    def __init__(self, recipient: str | None, is_draining: Callable[[], bool]) -> None:
        self.recipient = None if recipient is None else comparable_address(recipient)
        self._is_draining = is_draining
        self._woken = threading.Event()

    def wake(self) -> None:
        """Make `wait` return, so that the request queries the store again."""
        self._woken.set()

    def wait(self, until: float, not_before: float) -> bool:
        """Return True when woken, but not before `not_before`; False at `until` or in a drain.

        Both are times of time.monotonic.
        """
        if self._is_draining() or not self._woken.wait(max(until - time.monotonic(), 0)):
            return False
        time.sleep(max(min(not_before, until) - time.monotonic(), 0))
        self._woken.clear()
        return not self._is_draining()


class ArrivalWatch:
    """Wakes the waiting requests of one worker; safe for threads."""

    def __init__(self, store: MessageStore, is_draining: Callable[[], bool]) -> None:
        """End all waits once `is_draining` returns True."""
        self._store = store
        self._is_draining = is_draining
        self._lock = threading.Lock()
        self._waiters: set[Waiter] = set()
        self._thread: threading.Thread | None = None

    @contextmanager
    def waiter(self, recipient: str | None) -> Iterator[Waiter | None]:
        """Yield a waiter that arrivals wake from now on, None if MOST_WAITING requests wait."""
        waiter = Waiter(recipient, self._is_draining)
        if not self._add(waiter):
            yield None
            return
        try:
            yield waiter
        finally:
            with self._lock:
                self._waiters.discard(waiter)

    def _add(self, waiter: Waiter) -> bool:
        with self._lock:
            if len(self._waiters) >= MOST_WAITING:
                return False
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="arrivals", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no more threads: refused like one wait too many
                    return False
                self._thread = thread
            self._waiters.add(waiter)
            return True

    def _run(self) -> None:
        while self._is_needed():
            try:
                with self._store.watch() as version:
                    self._watch(version)
            except StorageUnavailable as error:
                _log.warning("Can't watch for new messages: %s", error)
                time.sleep(POLL_SECONDS)
                self._wake_all()  # their own query fails, too, and is answered with the error

    def _watch(self, version: Callable[[], int]) -> None:
        seen = version()
        number = self._store.arrivals(None).number
        self._wake_all()  # for messages stored between their last query and this line
        while self._is_needed():
            time.sleep(POLL_SECONDS)
            if self._is_draining():
                self._wake_all()
            now = version()
            if now != seen:
                seen = now
                while (arrivals := self._store.arrivals(number)).number != number:
                    number = arrivals.number
                    self._wake(arrivals.recipients)

    def _is_needed(self) -> bool:
        """Return whether any request waits; if not, this thread ends, and the next starts one."""
        with self._lock:
            if self._thread is not threading.current_thread():
                return False  # no request waited a moment ago, and another thread was started since
            if not self._waiters:
                self._thread = None
            return bool(self._waiters)

    def _wake_all(self) -> None:
        with self._lock:
            for waiter in self._waiters:
                waiter.wake()

    def _wake(self, recipients: Collection[str]) -> None:
        with self._lock:
            for waiter in self._waiters:
                if waiter.recipient is None or waiter.recipient in recipients:
                    waiter.wake()
