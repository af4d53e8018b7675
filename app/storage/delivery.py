"""Deliveries, their attempts, and queries for them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class State(StrEnum):
    """The state of a delivery; only a pending one is attempted."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    DISCARDED = "discarded"


POISON = "poison"
"""The reason of a delivery whose attempts seem to have killed their process."""


@dataclass(frozen=True)
class Delivery:
    """One message for one endpoint.

    `number` is the order in which deliveries were created, `message_number` the order in which
    messages arrived. `attempts` is the number of attempts that count for the schedule. `due_at` is
    None unless pending. `reason` is a stable code: of the last failure, or why it is dead.
    """

    number: int
    message_id: str
    message_number: int
    endpoint: str
    recipient: str
    state: State
    attempts: int
    due_at: datetime | None
    is_replay: bool
    created_at: datetime
    settled_at: datetime | None
    reason: str | None


@dataclass(frozen=True)
class Claim:
    """A delivery reserved for one process until `until`; `lease` identifies this claim."""

    delivery: Delivery
    lease: bytes
    until: datetime


@dataclass(frozen=True)
class Attempt:
    """A request to an endpoint, as shown to people.

    `address` is the endpoint's IP address, `status` that of the answer, `error` one line of text,
    and `answer` the beginning of the answer's body, of which a store keeps MOST_ANSWER_BYTES.
    """

    at: datetime
    address: str | None
    status: int | None
    duration_ms: int
    error: str | None
    answer: bytes


MOST_ANSWER_BYTES = 1024
KEPT_ATTEMPTS = 20
"""The number of attempts kept for each delivery, the last ones."""


@dataclass(frozen=True)
class Result:
    """The result of a claim.

    If `state` is PENDING, the delivery is due at `due_at`, or when it was before if that is None.
    `spends` says whether the attempt counts for the schedule; `attempt` is None if nothing was
    sent.
    """

    claim: Claim
    state: State
    due_at: datetime | None
    spends: bool
    attempt: Attempt | None
    reason: str | None


def as_of(result: Result, attempts: int) -> Result:
    """Return a result as it counts for a delivery that has spent `attempts` by now.

    If it was retried during a request that has failed, it stays due with all its attempts ahead.
    """
    is_failure = result.spends and result.state is not State.DELIVERED
    if not is_failure or result.claim.delivery.attempts == attempts:
        return result
    return replace(result, state=State.PENDING, due_at=None, spends=False)


@dataclass(frozen=True)
class Figure:
    """The number of an endpoint's deliveries in a state, and when the oldest was created."""

    endpoint: str
    state: State
    count: int
    oldest_created_at: datetime


@dataclass(frozen=True)
class DeliveryQuery:
    """Selects deliveries created from `since` (inclusive) to `until` (exclusive).

    `recipient` is compared with app.domains.comparable_address. `after` and `before` are numbers of
    deliveries, exclusive.
    """

    endpoint: str | None = None
    state: State | None = None
    recipient: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    message_id: str | None = None
    after: int | None = None
    before: int | None = None
    limit: int = 50
    oldest_first: bool = False


@dataclass(frozen=True)
class DeliveryPage:
    """Some of the deliveries that match a query.

    `position` is the number of the last delivery that was examined, None if there was none. If
    `has_more`, deliveries beyond it may match.
    """

    deliveries: Sequence[Delivery]
    position: int | None
    has_more: bool


@dataclass(frozen=True)
class OpenBreaker:
    """The open circuit breaker of an endpoint; `reason` is that of the last failure."""

    reason: str
    opened_at: datetime


FASTEST_RATE = 10_000
"""The largest rate of a replay, in deliveries per second."""


@dataclass(frozen=True)
class Replay:
    """A replay to an endpoint of the messages received from `since` on and before `until`.

    Messages that arrive after it was added aren't included. `recipient` None means all. `rate` is
    in deliveries per second, None without a limit. `position` is the number of the last message
    that was processed; the queue assigns `number`.
    """

    endpoint: str
    since: datetime | None = None
    until: datetime | None = None
    recipient: str | None = None
    rate: float | None = None
    position: int = 0
    number: int = 0
