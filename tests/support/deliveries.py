"""Messages with deliveries, and what comes of these."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from app.storage.delivery import Attempt, Claim, DeliveryQuery, Result, State
from app.storage.delivery_queue import DeliveryQueue
from app.storage.ids import new_message_id
from app.storage.interface import MessageStore
from app.storage.message import Envelope, Message, Receipt

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
_keys = itertools.count()


def at(seconds: float) -> datetime:
    """Return the moment so long after START."""
    return START + timedelta(seconds=seconds)


def add_for(
    store: MessageStore,
    *endpoints: str,
    seconds: float = 0,
    recipient: str = "bob@example.com",
    key: str = "",
) -> Receipt:
    """Store a message for these endpoints that was received so long after START."""
    message = Message(
        new_message_id(at(seconds)),
        at(seconds),
        Envelope("ann@example.com", recipient),
        "",
        key or f"delivered-{next(_keys)}",
        endpoints,
    )
    body = store.new_body()
    body.write(b"Subject: x\r\n\r\n")
    return store.add(message, body)


def claim(
    queue: DeliveryQueue,
    endpoint: str = "app",
    seconds: float = 0,
    limit: int = 64,
    *,
    lease_seconds: float = 60,
    replays: bool = False,
    in_order: bool = False,
) -> list[Claim]:
    """Claim what is due so long after START."""
    now, until = at(seconds), at(seconds + lease_seconds)
    return queue.claim(endpoint, limit, now, until, replays=replays, in_order=in_order)


def attempt(seconds: float = 0, status: int | None = 200, answer: bytes = b"") -> Attempt:
    """Return an attempt that was made so long after START."""
    return Attempt(at(seconds), "192.0.2.1", status, 12, None, answer)


def delivered(claimed: Claim) -> Result:
    """Return the result of an attempt that succeeded."""
    return Result(claimed, State.DELIVERED, None, spends=True, attempt=attempt(), reason=None)


def failed(claimed: Claim, due: float, status: int | None = 500) -> Result:
    """Return the result of one that failed; the next is due so long after START."""
    made = attempt(status=status)
    return Result(claimed, State.PENDING, at(due), spends=True, attempt=made, reason="refused")


def dead(claimed: Claim, reason: str = "exhausted") -> Result:
    """Return the result of the last one that is made."""
    made = attempt(status=500)
    return Result(claimed, State.DEAD, None, spends=True, attempt=made, reason=reason)


def released(claimed: Claim) -> Result:
    """Return the result of none."""
    return Result(claimed, State.PENDING, None, spends=False, attempt=None, reason=None)


def numbers(claims: Sequence[Claim]) -> list[int]:
    """Return the numbers of what is claimed."""
    return [each.delivery.number for each in claims]


def states(store: MessageStore, endpoint: str | None = None) -> list[State]:
    """Return the states of all deliveries, the first to be made first."""
    query = DeliveryQuery(endpoint=endpoint, limit=100_000, oldest_first=True)
    return [each.state for each in store.deliveries.find(query).deliveries]
