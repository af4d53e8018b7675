"""When a client's time is up."""

import time
from typing import Any


class Deadline:
    """The time that a client has for one request. The server enforces it.

    `at` is in seconds of the monotonic clock, like `since`, from when on the client is awaited.
    `request` is the server's request object, None until the head has been read.
    """

    def __init__(self, at: float) -> None:
        self.request: Any = None
        self.at = at
        self.since = time.monotonic()
        self.expired = False
        self.answering = False

    def handle_within(self, seconds: float, request: Any) -> None:
        """The head of `request` has been read: the rest must arrive within `seconds`."""
        self.request = request
        self.at = min(self.at, time.monotonic() + seconds)

    def expire(self) -> None:
        """The client's time is up: its connection will be closed, and the answer says so."""
        if self.request is not None:
            self.request.force_close()
        self.expired = True

    def answer_within(self, seconds: float) -> None:
        """The answer is ready: the client must read it within `seconds`."""
        self.since = time.monotonic()
        self.at = self.since + seconds
        self.answering = True
