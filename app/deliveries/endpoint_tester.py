"""Tests endpoints with a signed sample."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime

from app.deliveries.deadlines import DeadlineWatch
from app.deliveries.name_lookup import NameLookup
from app.deliveries.outcome import Outcome
from app.deliveries.sample import sample_message, sample_payload
from app.deliveries.sender import Sender
from app.deliveries.signing import webhook_id
from app.errors import RateLimited
from app.settings.endpoints import Endpoint

BUSY_SECONDS = 1.0
"""Tells a client to try again after it was refused because of another test."""


class EndpointTester:
    """Runs one test at a time, since each occupies a thread of the process; safe for threads."""

    def __init__(
        self, secrets_of: Callable[[Endpoint], Sequence[str]], clock: Callable[[], datetime]
    ) -> None:
        """Sign with the result of `secrets_of`: configured or generated secrets."""
        self._secrets_of = secrets_of
        self._clock = clock
        self._lookup = NameLookup()
        self._watch = DeadlineWatch()
        self._turn = threading.Lock()

    def test(self, endpoint: Endpoint) -> Outcome:
        """Send a sample over a new connection.

        Raises RateLimited while another test runs, and StorageUnavailable without a secret.
        """
        if not self._turn.acquire(blocking=False):
            raise RateLimited(BUSY_SECONDS)
        try:
            return self._send(endpoint)
        finally:
            self._turn.release()

    def _send(self, endpoint: Endpoint) -> Outcome:
        now = self._clock()
        stored, raw = sample_message(endpoint, now)
        sender = Sender(endpoint, self._secrets_of(endpoint), self._lookup, self._watch)
        try:
            payload = sample_payload(endpoint, stored, raw)
            return sender.send(webhook_id(stored.message_id), payload, now)
        finally:
            sender.close()
