"""A store that keeps nothing after the process ends, for unit tests and experiments."""

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

from app.domains import comparable_address
from app.errors import MessageNotFound
from app.storage.body import Body
from app.storage.interface import Query
from app.storage.message import Message, Reason, Receipt, Statistics, StoredMessage


class MemoryStore:
    """Keeps messages in a dict; nothing survives the process."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._messages: dict[str, tuple[StoredMessage, bytes, str]] = {}
        self._receipts: dict[str, tuple[str, datetime]] = {}
        self._deleted_at: dict[str, datetime] = {}
        self._deleted = Counter[Reason]()
        self._numbers = itertools.count(1)
        self._retention_ran_at: datetime | None = None

    def new_body(self) -> Body:
        """See MessageStore.new_body."""
        return Body()

    def add(self, message: Message, body: Body) -> Receipt:
        """See MessageStore.add."""
        key = message.idempotency_key
        with self._lock:
            duplicate = key in self._receipts
            if not duplicate:
                stored = _stored(next(self._numbers), message, body)
                self._messages[message.message_id] = stored, b"".join(body.chunks), key
                self._receipts[key] = message.message_id, message.received_at
            body.discard()
            return Receipt(*self._receipts[key], duplicate)

    def get(self, message_id: str) -> StoredMessage:
        """See MessageStore.get."""
        return self._find(message_id)[0]

    def read(self, message_id: str) -> bytes:
        """See MessageStore.read."""
        return self._find(message_id)[1]

    def remove(self, message_ids: Sequence[str], reason: Reason) -> list[str]:
        """See MessageStore.remove."""
        with self._lock:
            found = [each for each in dict.fromkeys(message_ids) if each in self._messages]
            for message_id in found:
                _, _, key = self._messages.pop(message_id)
                self._deleted_at[key] = self._clock()
            self._deleted[reason] += len(found)
            return found

    def erase(self) -> None:
        """See MessageStore.erase: nothing is left."""

    def forget_deleted(self, before: datetime) -> None:
        """See MessageStore.forget_deleted."""
        with self._lock:
            for key in [key for key, at in self._deleted_at.items() if at < before]:
                del self._deleted_at[key], self._receipts[key]

    def note_retention(self, at: datetime) -> None:
        """See MessageStore.note_retention."""
        self._retention_ran_at = at

    def statistics(self) -> Statistics:
        """See MessageStore.statistics."""
        with self._lock:
            return Statistics(
                messages=len(self._messages),
                bytes=sum(stored.size for stored, *_ in self._messages.values()),
                deleted={reason: self._deleted[reason] for reason in Reason},
                passed_over=0,
                retention_ran_at=self._retention_ran_at,
            )

    def search(self, query: Query) -> Iterator[StoredMessage]:
        """See MessageStore.search."""
        with self._lock:
            found = [stored for stored, *_ in self._messages.values() if _matches(stored, query)]
        found.sort(key=lambda stored: stored.number, reverse=not query.oldest_first)
        return islice(found, query.limit)

    def oldest(self, limit: int) -> list[StoredMessage]:
        """See MessageStore.oldest."""
        with self._lock:
            found = [stored for stored, *_ in self._messages.values()]
        return sorted(found, key=lambda stored: stored.message_id)[:limit]

    def count(self, query: Query) -> int:
        """See MessageStore.count."""
        return len(list(self.search(query)))

    def check(self) -> None:
        """See MessageStore.check: memory can always be written to."""

    def close(self) -> None:
        """See MessageStore.close."""

    def _find(self, message_id: str) -> tuple[StoredMessage, bytes, str]:
        with self._lock:
            if message_id not in self._messages:
                raise MessageNotFound(f"No message has the id {message_id!r}.")
            return self._messages[message_id]


def _stored(number: int, message: Message, body: Body) -> StoredMessage:
    return StoredMessage(
        number=number,
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
        and (query.after is None or stored.number > query.after)
        and (query.before is None or stored.number < query.before)
    )


def _is_for(stored: StoredMessage, recipient: str) -> bool:
    return comparable_address(stored.envelope.recipient) == comparable_address(recipient)
