"""Carries out attempts: reads the message, makes the payload, signs it and sends it."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime

from app.deliveries.deadlines import DeadlineWatch
from app.deliveries.name_lookup import NameLookup
from app.deliveries.outcome import Outcome
from app.deliveries.rendering import Renderer
from app.deliveries.sender import Sender
from app.deliveries.signing import webhook_id
from app.settings.endpoints import Endpoint
from app.storage.delivery import Claim
from app.storage.interface import MessageStore


class Courier:
    """Carries out the attempts of one process; safe for threads.

    Each endpoint has its own sender, created on first use, and again when its settings change.
    Endpoints share nothing but the limit on parsing.
    """

    def __init__(
        self,
        store: MessageStore,
        secrets_of: Callable[[Endpoint], Sequence[str]],
        clock: Callable[[], datetime],
    ) -> None:
        """Sign with the result of `secrets_of`: configured or generated secrets."""
        self._renderer = Renderer(store)
        self._secrets_of = secrets_of
        self._clock = clock
        self._lookup = NameLookup()
        self._watch = DeadlineWatch()
        self._lock = threading.Lock()
        self._senders: dict[str, tuple[Endpoint, Sender]] = {}

    def send(self, endpoint: Endpoint, claim: Claim) -> Outcome:
        """Make one attempt, which ends within the timeout whatever the endpoint does.

        Raises MessageNotFound, MessageCorrupt, MessageUnreadable, StorageUnavailable.
        """
        message_id = claim.delivery.message_id
        with self._renderer.payload(message_id, endpoint) as payload:
            return self._sender(endpoint).send(webhook_id(message_id), payload, self._clock())

    def close(self) -> None:
        """Close all idle connections, and end all idle threads."""
        with self._lock:
            for _, sender in self._senders.values():
                sender.close()
        self._lookup.close()
        self._watch.close()

    def _sender(self, endpoint: Endpoint) -> Sender:
        with self._lock:
            made_for, sender = self._senders.get(endpoint.name, (None, None))
            if sender is None or made_for != endpoint:
                if sender is not None:
                    sender.close()
                secrets = self._secrets_of(endpoint)
                sender = Sender(endpoint, secrets, self._lookup, self._watch)
                self._senders[endpoint.name] = (endpoint, sender)
            return sender
