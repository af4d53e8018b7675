"""A store that keeps nothing after the process ends, for unit tests and experiments."""

import itertools
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice

from app.domains import comparable_address
from app.errors import MessageNotFound
from app.storage.body import Body
from app.storage.delivery_queue import DeliveryQueue
from app.storage.header_message_id import has_header_message_id
from app.storage.interface import Arrivals, Page, Query
from app.storage.memory_deliveries import MemoryDeliveries
from app.storage.message import Message, Reason, Receipt, Statistics, StoredMessage


class MemoryStore:
    """Keeps messages in a dict; nothing survives the process."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._messages: dict[str, tuple[StoredMessage, bytes, str]] = {}
        self._receipts: dict[str, tuple[str, datetime]] = {}
        self._deleted_at: dict[str, datetime] = {}
        self._deleted = Counter[Reason]()
        self._numbers = itertools.count(1)
        self._retention_ran_at: datetime | None = None
        self._kept_for_delivery = 0
        self._identity = secrets.token_bytes(8)
        self._changes = 0
        self._deliveries = MemoryDeliveries(self._lock, self._all, clock)

    @property
    def deliveries(self) -> DeliveryQueue:
        """See MessageStore.deliveries."""
        return self._deliveries

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
                self._deliveries.make(stored, message.endpoints)
                self._changes += 1
            body.discard()
            return Receipt(*self._receipts[key], duplicate)

    def get(self, message_id: str) -> StoredMessage:
        """See MessageStore.get."""
        return self._find(message_id)[0]

    def ids_with_prefix(self, prefix: str, limit: int) -> list[str]:
        """See MessageStore.ids_with_prefix."""
        with self._lock:
            return sorted(each for each in self._messages if each.startswith(prefix))[:limit]

    def read(self, message_id: str) -> bytes:
        """See MessageStore.read."""
        return self._find(message_id)[1]

    def find(self, message_id: str) -> tuple[StoredMessage, Callable[[], bytes]]:
        """See MessageStore.find."""
        return self.get(message_id), partial(self.read, message_id)

    def remove(self, message_ids: Sequence[str], reason: Reason) -> list[str]:
        """See MessageStore.remove."""
        with self._lock:
            kept = self._deliveries.undone_messages() if reason is Reason.RETENTION else set()
            found = [
                each
                for each in dict.fromkeys(message_ids)
                if each in self._messages and each not in kept
            ]
            for message_id in found:
                _, _, key = self._messages.pop(message_id)
                self._deliveries.remove(message_id)
                self._deleted_at[key] = self._clock()
            self._deleted[reason] += len(found)
            self._changes += 1
            return found

    def erase(self) -> None:
        """See MessageStore.erase: nothing is left."""

    def forget_deleted(self, before: datetime) -> None:
        """See MessageStore.forget_deleted."""
        with self._lock:
            for key in [key for key, at in self._deleted_at.items() if at < before]:
                del self._deleted_at[key], self._receipts[key]

    def retention_turn(self) -> AbstractContextManager[bool]:
        """See MessageStore.retention_turn."""
        return nullcontext(True)

    def note_retention(self, at: datetime, kept_for_delivery: int) -> None:
        """See MessageStore.note_retention."""
        self._retention_ran_at, self._kept_for_delivery = at, kept_for_delivery

    def statistics(self) -> Statistics:
        """See MessageStore.statistics."""
        with self._lock:
            return Statistics(
                messages=len(self._messages),
                bytes=sum(stored.size for stored, *_ in self._messages.values()),
                deleted={reason: self._deleted[reason] for reason in Reason},
                passed_over=0,
                retention_ran_at=self._retention_ran_at,
                kept_for_delivery=self._kept_for_delivery,
            )

    def search(self, query: Query) -> Iterator[StoredMessage]:
        """See MessageStore.search."""
        with self._lock:
            found = [
                stored for stored, raw, _ in self._messages.values() if _matches(stored, raw, query)
            ]
        found.sort(key=lambda stored: stored.number, reverse=not query.oldest_first)
        return islice(found, query.limit)

    def page(self, query: Query, scan_limit: int) -> Page:
        """See MessageStore.page."""
        indexed = replace(query, sender=None, subject=None, queue_id=None, header_message_id=None)
        seen = list(self.search(replace(indexed, limit=scan_limit if query.is_scan else None)))
        wanted = {each.number for each in self.search(replace(query, limit=None))}
        found = [each for each in seen if each.number in wanted]
        if query.limit is not None and len(found) > query.limit:
            found = found[: query.limit]
            return Page(found, found[-1].number if found else None, has_more=True)
        is_cut = query.is_scan and len(seen) == scan_limit
        return Page(found, seen[-1].number if seen else None, is_cut)

    def arrivals(self, after: int | None) -> Arrivals:
        """See MessageStore.arrivals."""
        with self._lock:
            stored = [stored for stored, *_ in self._messages.values()]
        number = max((each.number for each in stored), default=after or 0)
        new = [each for each in stored if after is not None and each.number > after]
        return Arrivals(
            max(number, after or 0),
            frozenset(comparable_address(each.envelope.recipient) for each in new),
        )

    @contextmanager
    def watch(self) -> Iterator[Callable[[], int]]:
        """See MessageStore.watch."""
        yield lambda: self._changes

    def identity(self) -> bytes:
        """See MessageStore.identity."""
        return self._identity

    def oldest_done(self, limit: int, after: str | None) -> list[StoredMessage]:
        """See MessageStore.oldest_done."""
        with self._lock:
            undone = self._deliveries.undone_messages()
            found = [each for each in self._all() if each.message_id not in undone]
        found = [each for each in found if after is None or each.message_id > after]
        return sorted(found, key=lambda stored: stored.message_id)[:limit]

    def count_undone(self, before: datetime | None) -> int:
        """See MessageStore.count_undone."""
        with self._lock:
            undone = self._deliveries.undone_messages()
            found = [each for each in self._all() if each.message_id in undone]
        return sum(before is None or each.received_at < before for each in found)

    def count(self, query: Query) -> int:
        """See MessageStore.count."""
        return len(list(self.search(query)))

    def check(self) -> None:
        """See MessageStore.check: memory can always be written to."""

    def close(self) -> None:
        """See MessageStore.close."""

    def _all(self) -> list[StoredMessage]:
        return [stored for stored, *_ in self._messages.values()]

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


def _matches(stored: StoredMessage, raw: bytes, query: Query) -> bool:
    return (
        _is_within(stored, query)
        and _is_same(query.recipient, stored.envelope.recipient)
        and _is_same(query.sender, stored.envelope.sender)
        and (query.subject is None or query.subject.casefold() in stored.subject.casefold())
        and query.queue_id in {None, stored.envelope.queue_id}
        and (query.header_message_id is None or has_header_message_id(raw, query.header_message_id))
    )


def _is_within(stored: StoredMessage, query: Query) -> bool:
    return (
        (query.since is None or stored.received_at >= query.since)
        and (query.until is None or stored.received_at < query.until)
        and (query.after is None or stored.number > query.after)
        and (query.before is None or stored.number < query.before)
    )


def _is_same(wanted: str | None, address: str) -> bool:
    return wanted is None or comparable_address(wanted) == comparable_address(address)
