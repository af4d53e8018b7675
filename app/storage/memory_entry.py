"""An entry of app.storage.memory_deliveries."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from app.domains import comparable_address
from app.storage.delivery import (
    KEPT_ATTEMPTS,
    MOST_ANSWER_BYTES,
    Attempt,
    Delivery,
    DeliveryQuery,
    Replay,
    Result,
    State,
)
from app.storage.delivery_queue import LONGEST_DELAY, LONGEST_LEASE
from app.storage.message import StoredMessage


@dataclass
class Entry:
    """A delivery and its claim; `claimable_at` is the end of the claim if there is one."""

    delivery: Delivery
    claimable_at: datetime
    lease: bytes | None = None
    lapses: int = 0
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def is_pending(self) -> bool:
        """Whether it is pending."""
        return self.delivery.state is State.PENDING

    @property
    def lapses_so_far(self) -> int:
        """The number of claims expired in a row, including the current one if it has expired."""
        return self.lapses + (self.lease is not None)

    def claim(self, lease: bytes, until: datetime) -> None:
        """Claim it until `until`."""
        self.lapses = self.lapses_so_far
        self.lease, self.claimable_at = lease, until

    def forgive(self) -> None:
        """Don't count its claim if it expires."""
        self.lapses = max(self.lapses - 1, -1)

    def settle(self, state: State, at: datetime, reason: str | None) -> None:
        """Set a final state."""
        self.delivery = replace(
            self.delivery, state=state, due_at=None, settled_at=at, reason=reason
        )
        self._let_go(0)

    def finish(self, result: Result, at: datetime) -> None:
        """Apply the result of its claim."""
        self.delivery = replace(self.delivery, attempts=self.delivery.attempts + result.spends)
        if result.attempt:
            answer = result.attempt.answer[:MOST_ANSWER_BYTES]
            self.attempts.append(replace(result.attempt, answer=answer))
            self.attempts = self.attempts[-KEPT_ATTEMPTS:]
        reason = result.reason or self.delivery.reason
        if result.state is not State.PENDING:
            self.settle(result.state, at, None if result.state is State.DELIVERED else reason)
            return
        due_at = result.due_at or self.delivery.due_at
        self.delivery = replace(self.delivery, due_at=due_at, reason=reason)
        self._let_go(0 if result.attempt else max(self.lapses, 0))

    def retry(self, now: datetime) -> None:
        """Make it due with all its attempts ahead; a claim stays."""
        self.delivery = replace(
            self.delivery, state=State.PENDING, attempts=0, due_at=now, settled_at=None
        )
        if self.lease is None:
            self._let_go(0)

    def clamp(self, now: datetime) -> bool:
        """Limit its time if it lies too far ahead; return whether it did."""
        is_leased = self.lease is not None
        if self.claimable_at <= now + (LONGEST_LEASE if is_leased else LONGEST_DELAY):
            return False
        self.claimable_at = now + LONGEST_LEASE if is_leased else now
        self.delivery = replace(self.delivery, due_at=min(self.delivery.due_at or now, now))
        return True

    def _let_go(self, lapses: int) -> None:
        self.lease, self.lapses = None, lapses
        if self.delivery.due_at:
            self.claimable_at = self.delivery.due_at


def new_entry(
    number: int, message: StoredMessage, endpoint: str, at: datetime, *, is_replay: bool
) -> Entry:
    """Return a delivery of a message that is due at once."""
    delivery = Delivery(
        number=number,
        message_id=message.message_id,
        message_number=message.number,
        endpoint=endpoint,
        recipient=message.envelope.recipient,
        state=State.PENDING,
        attempts=0,
        due_at=at,
        is_replay=is_replay,
        created_at=at,
        settled_at=None,
        reason=None,
    )
    return Entry(delivery, at)


def matches(delivery: Delivery, query: DeliveryQuery) -> bool:
    """Return whether a delivery matches a query, except for its position."""
    return (
        query.endpoint in {None, delivery.endpoint}
        and query.state in {None, delivery.state}
        and query.message_id in {None, delivery.message_id}
        and (
            query.recipient is None
            or comparable_address(query.recipient) == comparable_address(delivery.recipient)
        )
        and (query.since is None or delivery.created_at >= query.since)
        and (query.until is None or delivery.created_at < query.until)
        and (query.after is None or delivery.number > query.after)
        and (query.before is None or delivery.number < query.before)
    )


def is_next(message: StoredMessage, replay: Replay) -> bool:
    """Return whether a replay still has to process a message."""
    key = None if replay.recipient is None else comparable_address(replay.recipient)
    return (
        message.number > replay.position
        and (replay.since is None or message.received_at >= replay.since)
        and (replay.until is None or message.received_at < replay.until)
        and key in {None, comparable_address(message.envelope.recipient)}
    )
