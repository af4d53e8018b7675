"""What the server knows of the request that a thread handles, and the application wants to know."""

import time
from contextvars import ContextVar
from typing import Any

WAITING_THREADS = 120
"""Requests of one worker that may wait for bytes, beside those that are worked on."""


class Deadline:
    """When the client's time is up. The worker's main loop enforces it, see app.server.worker.

    Times are seconds of the monotonic clock; `request` is Gunicorn's, None until its head has been
    read.
    """

    def __init__(self, at: float) -> None:
        self.began_at = time.monotonic()
        self.request: Any = None
        self.at = at
        self.expired = False
        self.answering = False

    def handle_within(self, seconds: float, request: Any) -> None:
        """The head of `request` has been read: the rest has to be done in `seconds`."""
        self.request = request
        self.at = min(self.at, time.monotonic() + seconds)

    def expire(self) -> None:
        """The client's time is up: its connection is to end, and the answer will say so."""
        if self.request is not None:
            self.request.force_close()
        self.expired = True

    def answer_within(self, seconds: float) -> None:
        """The answer is ready: the client has to take it in `seconds`."""
        self.at = time.monotonic() + seconds
        self.answering = True


deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)
"""The deadline of the current request; None outside Gunicorn."""

admitted: ContextVar[bool] = ContextVar("admitted", default=True)
"""False for a request that came after the drain began."""


def is_late() -> bool:
    """Tell whether the current request's time is up."""
    current = deadline.get()
    return current is not None and current.expired
