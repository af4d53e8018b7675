"""The last failure of an endpoint."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from app.errors import DeliveryNotFound
from app.storage.delivery import Delivery, DeliveryQuery, State
from app.storage.delivery_queue import DeliveryQueue

MOST_EXAMINED = 20
"""How many of the oldest pending deliveries, and of the newest dead ones, are examined."""


@dataclass(frozen=True)
class Failure:
    """A failed attempt; `error` is one line of text, None if only the status is wrong."""

    message_id: str
    reason: str
    at: datetime
    error: str | None


def last_failure(queue: DeliveryQueue, endpoint: str) -> Failure | None:
    """Return the last failed attempt of the deliveries that are examined, None if there is none.

    Raises StorageUnavailable.
    """
    failures = [failure for each in _failed(queue, endpoint) for failure in _failure(queue, each)]
    return max(failures, key=lambda failure: failure.at, default=None)


def _failed(queue: DeliveryQueue, endpoint: str) -> Iterator[Delivery]:
    query = DeliveryQuery(endpoint=endpoint, limit=MOST_EXAMINED)
    # While an endpoint is down, only the oldest have been attempted.
    pending = replace(query, state=State.PENDING, oldest_first=True)
    for each in (pending, replace(query, state=State.DEAD)):
        yield from (found for found in queue.find(each).deliveries if found.reason is not None)


def _failure(queue: DeliveryQueue, delivery: Delivery) -> Iterator[Failure]:
    try:
        _, attempts = queue.get(delivery.number)
    except DeliveryNotFound:  # deleted meanwhile
        return
    if attempts:
        last = attempts[-1]
        yield Failure(delivery.message_id, str(delivery.reason), last.at, last.error)
