"""A queue of deliveries in memory; part of app.storage.memory."""

import itertools
import secrets
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from app.errors import DeliveryNotFound
from app.storage.delivery import (
    POISON,
    Attempt,
    Claim,
    Delivery,
    DeliveryPage,
    DeliveryQuery,
    Figure,
    Replay,
    Result,
    State,
    as_of,
)
from app.storage.delivery_queue import MOST_ADVANCED, MOST_CLAIMS, MOST_LAPSES
from app.storage.memory_endpoints import MemoryEndpoints
from app.storage.memory_entry import Entry, is_next, matches, new_entry
from app.storage.message import StoredMessage


class MemoryDeliveries(MemoryEndpoints):
    """See DeliveryQueue."""

    def __init__(
        self,
        lock: threading.RLock,
        messages: Callable[[], Iterable[StoredMessage]],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`messages` returns the stored messages; it is called while `lock` is held."""
        super().__init__()
        self._lock = lock
        self._messages = messages
        self._clock = clock
        self._numbers = itertools.count(1)
        self._replay_numbers = itertools.count(1)
        self._entries: dict[int, Entry] = {}
        self._replays: dict[int, tuple[Replay, int]] = {}

    def make(self, message: StoredMessage, endpoints: Iterable[str]) -> None:
        """Create the deliveries of a message."""
        for endpoint in endpoints:
            self._make(message, endpoint, message.received_at, is_replay=False)

    def remove(self, message_id: str) -> None:
        """Remove the deliveries of a message."""
        for number, entry in list(self._entries.items()):
            if entry.delivery.message_id == message_id:
                del self._entries[number]

    def undone_messages(self) -> set[str]:
        """Return the ids of the messages that have pending or dead deliveries."""
        found = [entry.delivery for entry in self._entries.values()]
        return {each.message_id for each in found if each.state in {State.PENDING, State.DEAD}}

    def claim(  # noqa: PLR0913 -- see DeliveryQueue.claim
        self,
        endpoint: str,
        limit: int,
        now: datetime,
        until: datetime,
        *,
        replays: bool,
        in_order: bool,
    ) -> list[Claim]:
        """See DeliveryQueue.claim."""
        with self._lock:
            if self._due(endpoint, now, replays=replays, in_order=in_order):
                self._bury(endpoint, now)
            due = self._due(endpoint, now, replays=replays, in_order=in_order)
            if in_order and self._is_any_claimed(endpoint, now):
                return []
            chosen = self._last_chance(due, now) or [
                entry for entry in due if entry.lapses_so_far < MOST_LAPSES - 1
            ]
            chosen.sort(key=lambda entry: entry.claimable_at)
            return self._claimed(chosen[: max(0, min(limit, MOST_CLAIMS))], until)

    def renew(self, claims: Sequence[Claim], until: datetime) -> list[Claim]:
        """See DeliveryQueue.renew."""
        with self._lock:
            held = [each for each in claims if self._is_held(each)]
            for each in held:
                self._entries[each.delivery.number].claimable_at = until
            return [replace(each, until=until) for each in held]

    def forgive(self, claims: Sequence[Claim]) -> None:
        """See DeliveryQueue.forgive."""
        with self._lock:
            for each in filter(self._is_held, claims):
                self._entries[each.delivery.number].forgive()

    def finish(self, results: Sequence[Result]) -> int:
        """See DeliveryQueue.finish."""
        with self._lock:
            held = [each for each in results if self._is_held(each.claim)]
            for each in held:
                entry = self._entries[each.claim.delivery.number]
                entry.finish(as_of(each, entry.delivery.attempts), self._clock())
            return len(held)

    def next_due(self, endpoints: Collection[str]) -> Mapping[str, datetime]:
        """See DeliveryQueue.next_due."""
        with self._lock:
            first: dict[str, datetime] = {}
            for entry in self._entries.values():
                endpoint = entry.delivery.endpoint
                if entry.is_pending and endpoint in endpoints:
                    first[endpoint] = min(
                        entry.claimable_at, first.get(endpoint, entry.claimable_at)
                    )
            return first

    def clamp_times(self, endpoints: Collection[str], now: datetime) -> int:
        """See DeliveryQueue.clamp_times."""
        with self._lock:
            pending = [each for each in self._entries.values() if each.is_pending]
            return sum(each.clamp(now) for each in pending if each.delivery.endpoint in endpoints)

    def figures(self) -> Sequence[Figure]:
        """See DeliveryQueue.figures."""
        with self._lock:
            groups: dict[tuple[str, State], list[datetime]] = {}
            for entry in self._entries.values():
                key = entry.delivery.endpoint, entry.delivery.state
                groups.setdefault(key, []).append(entry.delivery.created_at)
        return [Figure(*key, len(made), min(made)) for key, made in sorted(groups.items())]

    def find(self, query: DeliveryQuery) -> DeliveryPage:
        """See DeliveryQueue.find."""
        with self._lock:
            found = [entry.delivery for entry in self._entries.values()]
        found = [each for each in found if matches(each, query)]
        found.sort(key=lambda each: each.number, reverse=not query.oldest_first)
        page = found[: query.limit]
        return DeliveryPage(page, page[-1].number if page else None, len(found) > len(page))

    def get(self, number: int) -> tuple[Delivery, Sequence[Attempt]]:
        """See DeliveryQueue.get."""
        with self._lock:
            if number not in self._entries:
                raise DeliveryNotFound("No delivery has this id.")
            entry = self._entries[number]
            return entry.delivery, tuple(entry.attempts)

    def retry(self, numbers: Sequence[int], now: datetime) -> list[int]:
        """See DeliveryQueue.retry."""
        with self._lock:
            found = sorted(self._entries.keys() & set(numbers))
            for entry in map(self._entries.__getitem__, found):
                entry.retry(now)
            return found

    def discard(self, numbers: Sequence[int]) -> list[int]:
        """See DeliveryQueue.discard."""
        with self._lock:
            found = [
                number
                for number in sorted(self._entries.keys() & set(numbers))
                if self._entries[number].delivery.state in {State.PENDING, State.DEAD}
            ]
            for entry in map(self._entries.__getitem__, found):
                entry.settle(State.DISCARDED, self._clock(), entry.delivery.reason)
            return found

    def add_replay(self, replay: Replay) -> int:
        """See DeliveryQueue.add_replay."""
        with self._lock:
            number = next(self._replay_numbers)
            last = max((message.number for message in self._messages()), default=0)
            self._replays[number] = replace(replay, number=number), last
            return number

    def replays(self) -> Sequence[Replay]:
        """See DeliveryQueue.replays."""
        with self._lock:
            return [replay for replay, _ in self._replays.values()]

    def advance_replay(self, number: int, most: int, now: datetime) -> int:
        """See DeliveryQueue.advance_replay."""
        with self._lock:
            if number not in self._replays or most <= 0:
                return 0
            replay, last = self._replays[number]
            following = self._following(replay, last)[: min(most, MOST_ADVANCED)]
            if not following:
                del self._replays[number]
                return 0
            for message in following:
                if not self._is_waiting(message, replay.endpoint):
                    self._make(message, replay.endpoint, now, is_replay=True)
            self._replays[number] = replace(replay, position=following[-1].number), last
            return len(following)

    def forget_attempts(self, before: datetime) -> None:
        """See DeliveryQueue.forget_attempts."""
        with self._lock:
            for entry in self._entries.values():
                entry.attempts = [each for each in entry.attempts if each.at >= before]

    def _make(
        self, message: StoredMessage, endpoint: str, at: datetime, *, is_replay: bool
    ) -> None:
        number = next(self._numbers)
        self._entries[number] = new_entry(number, message, endpoint, at, is_replay=is_replay)

    def _following(self, replay: Replay, last: int) -> list[StoredMessage]:
        found = [each for each in self._messages() if each.number <= last and is_next(each, replay)]
        return sorted(found, key=lambda message: message.number)

    def _due(self, endpoint: str, now: datetime, *, replays: bool, in_order: bool) -> list[Entry]:
        pending = [
            entry
            for entry in self._entries.values()
            if entry.is_pending
            and entry.delivery.endpoint == endpoint
            and entry.delivery.is_replay == replays
        ]
        if in_order:
            pending = pending[:1]
        return [entry for entry in pending if entry.claimable_at <= now]

    def _is_any_claimed(self, endpoint: str, now: datetime) -> bool:
        return any(
            entry.lease is not None and entry.claimable_at > now
            for entry in self._entries.values()
            if entry.delivery.endpoint == endpoint
        )

    def _bury(self, endpoint: str, now: datetime) -> None:
        for entry in self._entries.values():
            is_expired = entry.lease is not None and entry.claimable_at <= now
            is_poison = is_expired and entry.lapses_so_far >= MOST_LAPSES
            if is_poison and entry.delivery.endpoint == endpoint:
                entry.settle(State.DEAD, now, POISON)

    def _last_chance(self, due: Sequence[Entry], now: datetime) -> list[Entry]:
        is_given = any(
            entry.lapses >= MOST_LAPSES - 1 and entry.lease and entry.claimable_at > now
            for entry in self._entries.values()
        )
        least = MOST_LAPSES - 1
        return [] if is_given else [each for each in due if each.lapses_so_far == least][:1]

    def _claimed(self, chosen: Sequence[Entry], until: datetime) -> list[Claim]:
        lease = secrets.token_bytes(16)
        for entry in chosen:
            entry.claim(lease, until)
        claimed = [entry.delivery for entry in chosen]
        claimed.sort(key=lambda each: (each.due_at, each.number))
        return [Claim(each, lease, until) for each in claimed]

    def _is_held(self, claim: Claim) -> bool:
        entry = self._entries.get(claim.delivery.number)
        return entry is not None and entry.lease == claim.lease

    def _is_waiting(self, message: StoredMessage, endpoint: str) -> bool:
        return any(
            entry.is_pending
            and entry.delivery.message_number == message.number
            and entry.delivery.endpoint == endpoint
            for entry in self._entries.values()
        )
