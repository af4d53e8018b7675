"""The threads that send requests."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, SimpleQueue

from app.deliveries.lane import Request
from app.deliveries.outcome import Outcome
from app.settings.endpoints import Endpoint
from app.storage.delivery import Claim

Send = Callable[[Endpoint, Claim], Outcome]
"""Makes one request, which always ends within the timeout.

If the message can't be read, raises MessageNotFound, MessageCorrupt, MessageUnreadable or
StorageUnavailable.
"""

_log = logging.getLogger("gomail")


@dataclass(frozen=True)
class Sent:
    """The end of a request that began `at`: its outcome, or the error.

    `successor` is the request that its thread has begun in its place.
    """

    request: Request
    at: datetime
    seconds: float
    outcome: Outcome | Exception
    successor: Request | None = None


class Workers:
    """Threads that are started on demand, and don't keep the process from exiting.

    Only `wake` is safe for threads.
    """

    def __init__(self, send: Send, most: int, clock: Callable[[], datetime]) -> None:
        """Send up to `most` requests at once."""
        self._send = send
        self._most = most
        self._clock = clock
        self._requests = SimpleQueue[Request | None]()
        self._ends = SimpleQueue[Sent | None]()
        self._begun = 0
        self._threads = 0
        self._has_complained = False

    def begin(self, request: Request) -> None:
        """Pass a request to a thread."""
        self._begun += 1
        self._requests.put(request)
        self._start_threads()

    def ended(self, seconds: float) -> list[Sent]:
        """Return the requests that have ended, waiting up to `seconds` for one, or for `wake`."""
        self._start_threads()
        ends: list[Sent] = []
        try:
            end = self._ends.get(timeout=seconds) if seconds > 0 else self._ends.get_nowait()
            while True:
                if end is not None:
                    ends.append(end)
                end = self._ends.get_nowait()
        except Empty:
            self._begun -= sum(end.successor is None for end in ends)
            return ends

    def wake(self) -> None:
        """Make `ended` return; any thread or signal handler may call this."""
        self._ends.put(None)

    def close(self) -> None:
        """End the threads that are idle now, and others when their requests end."""
        for _ in range(self._threads):
            self._requests.put(None)

    def _start_threads(self) -> None:
        while self._threads < min(self._begun, self._most):
            name = f"delivery-{self._threads}"
            try:
                threading.Thread(target=self._run, name=name, daemon=True).start()
            except RuntimeError:  # no more threads: the request waits for one of those that run
                if not self._has_complained:
                    _log.error("A thread for deliveries can't be started. Trying again.")
                self._has_complained = True
                return
            self._threads += 1
            self._has_complained = False

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            following: Request | None = request
            while following is not None:
                following = self._carry_out(following)

    def _carry_out(self, request: Request) -> Request | None:
        """Return the request to carry out next."""
        at, began = self._clock(), time.monotonic()
        outcome: Outcome | Exception
        try:
            outcome = self._send(request.lane.endpoint, request.claim)
        except Exception as error:  # noqa: BLE001 -- the thread must continue
            outcome = error
        seconds = time.monotonic() - began
        successor = successor_of(request, outcome)
        self._ends.put(Sent(request, at, seconds, outcome, successor))
        return successor


def successor_of(request: Request, outcome: Outcome | Exception) -> Request | None:
    """Begin the next request in place of one that has succeeded; None if it should wait."""
    has_succeeded = isinstance(outcome, Outcome) and outcome.reason is None
    return request.lane.next_request() if has_succeeded else None
