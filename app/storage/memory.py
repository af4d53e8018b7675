"""A store that keeps nothing after the process ends, for unit tests and experiments."""

import threading
from collections.abc import Iterator
from itertools import islice

from app.domains import comparable_address
from app.errors import MessageNotFound
from app.storage.body import Body
from app.storage.interface import Query
from app.storage.message import Message, Receipt, StoredMessage


class MemoryStore:
    """Keeps messages in a dict; nothing survives the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages: dict[str, tuple[StoredMessage, bytes]] = {}
        self._id_of_key: dict[str, str] = {}

    def new_body(self) -> Body:
        """See MessageStore.new_body."""
        return Body()

    def add(self, message: Message, body: Body) -> Receipt:
        """See MessageStore.add."""
        with self._lock:
            first_id = self._id_of_key.setdefault(message.idempotency_key, message.message_id)
            duplicate = first_id in self._messages
            if not duplicate:
                self._messages[first_id] = (_stored(message, body), b"".join(body.chunks))
            body.discard()
            return Receipt(first_id, self._messages[first_id][0].received_at, duplicate)

    def get(self, message_id: str) -> StoredMessage:
        """See MessageStore.get."""
        return self._find(message_id)[0]

    def read(self, message_id: str) -> bytes:
        """See MessageStore.read."""
        return self._find(message_id)[1]

    def remove(self, message_id: str) -> None:
        """See MessageStore.remove."""
        self._find(message_id)
        with self._lock:
            del self._messages[message_id]
            self._id_of_key = {
                key: id_ for key, id_ in self._id_of_key.items() if id_ != message_id
            }

    def search(self, query: Query) -> Iterator[StoredMessage]:
        """See MessageStore.search."""
        with self._lock:
            found = [stored for stored, _ in self._messages.values() if _matches(stored, query)]
        found.sort(key=lambda stored: stored.message_id, reverse=not query.oldest_first)
        return islice(found, query.limit)

    def count(self, query: Query) -> int:
        """See MessageStore.count."""
        return len(list(self.search(query)))

    def check(self) -> None:
        """See MessageStore.check: memory can always be written to."""

    def close(self) -> None:
        """See MessageStore.close."""

    def _find(self, message_id: str) -> tuple[StoredMessage, bytes]:
        with self._lock:
            if message_id not in self._messages:
                raise MessageNotFound(f"No message has the id {message_id!r}.")
            return self._messages[message_id]


def _stored(message: Message, body: Body) -> StoredMessage:
    return StoredMessage(
        message_id=message.message_id,
        received_at=message.received_at,
        envelope=message.envelope,
        subject=message.subject,
        size=body.size,
        sha256=body.sha256(),
    )


def _matches(stored: StoredMessage, query: Query) -> bool:
    return (
        (query.recipient is None or _is_for(stored, query.recipient))
        and (query.since is None or stored.received_at >= query.since)
        and (query.until is None or stored.received_at < query.until)
    )


def _is_for(stored: StoredMessage, recipient: str) -> bool:
    return comparable_address(stored.envelope.recipient) == comparable_address(recipient)
