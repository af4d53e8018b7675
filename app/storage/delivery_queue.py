"""The interface of a queue of deliveries."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from app.storage.delivery import (
    Attempt,
    Claim,
    Delivery,
    DeliveryPage,
    DeliveryQuery,
    Figure,
    OpenBreaker,
    Replay,
    Result,
)

MOST_CLAIMS = 64
"""At a time."""
MOST_ADVANCED = 500
"""The largest number of messages that a replay processes in one call."""
LONGEST_DELAY = timedelta(hours=29)
"""No delivery is due later than this after a result."""
LONGEST_LEASE = timedelta(seconds=90)
"""No claim lasts longer than this without being renewed."""
MOST_LAPSES = 3
"""After this many claims in a row that expired without a result, a delivery is dead."""


class DeliveryQueue(Protocol):
    """The deliveries of a message store, whose `add` creates them in the commit of the message.

    Every method is safe for threads, atomic, and raises StorageUnavailable. A power cut may undo a
    change to a delivery, which is then repeated; it never loses a delivery.
    """

    def claim(  # noqa: PLR0913 -- what is claimed, for how long
        self,
        endpoint: str,
        limit: int,
        now: datetime,
        until: datetime,
        *,
        replays: bool,
        in_order: bool,
    ) -> list[Claim]:
        """Claim up to `limit` due deliveries, at most MOST_CLAIMS, either live ones or `replays`.

        The longest due come first. If `in_order`, only the first one created is claimed, if it is
        due and no delivery of the endpoint is claimed, neither live nor of a replay.

        A claim that has expired without a result is taken over. After the third in a row, the
        delivery is dead, since it seems to kill its process. Other deliveries that were in flight
        may be innocent: therefore a delivery is claimed alone for its last attempt, and only one
        such delivery in the store at a time.
        """
        ...

    def renew(self, claims: Sequence[Claim], until: datetime) -> list[Claim]:
        """Extend claims to `until`, and return those that are still held."""
        ...

    def forgive(self, claims: Sequence[Claim]) -> None:
        """Don't count these claims if they expire: their process has been told to stop.

        Claims that are no longer held are ignored.
        """
        ...

    def finish(self, results: Sequence[Result]) -> int:
        """Store the results of claims that are still held, and return their number."""
        ...

    def next_due(self, endpoints: Collection[str]) -> Mapping[str, datetime]:
        """Return when the next delivery of each endpoint is due, or its claim expires.

        Endpoints without pending deliveries are absent. A claim at that time may still get nothing:
        an earlier delivery isn't due (`in_order`), or another one is claimed for its last attempt.
        """
        ...

    def clamp_times(self, endpoints: Collection[str], now: datetime) -> int:
        """Limit times that lie too far ahead, since the clock was set back; return how many.

        What is due later than LONGEST_DELAY from now is due now, and a claim ends after
        LONGEST_LEASE at the latest. There may be more if any had to be limited.
        """
        ...

    def figures(self) -> Sequence[Figure]:
        """Return a figure for each endpoint and state that has deliveries.

        Takes about a millisecond, however many there are.
        """
        ...

    def find(self, query: DeliveryQuery) -> DeliveryPage:
        """Return the first matching deliveries, newest first unless the query says otherwise.

        A page may have fewer than its limit although more match, if many had to be examined.
        """
        ...

    def get(self, number: int) -> tuple[Delivery, Sequence[Attempt]]:
        """Return a delivery and its last attempts, oldest first; raises DeliveryNotFound."""
        ...

    def retry(self, numbers: Sequence[int], now: datetime) -> list[int]:
        """Make deliveries due now, in any state, with all their attempts ahead.

        Return the numbers of those that exist. A claimed one stays with its claim: it is delivered
        if the request in flight succeeds, and due otherwise.
        """
        ...

    def discard(self, numbers: Sequence[int]) -> list[int]:
        """Discard deliveries that are pending or dead, and return their numbers."""
        ...

    def pause(self, endpoint: str, reason: str) -> None:
        """Note that an endpoint is paused; the last reason counts. Claims ignore pauses."""
        ...

    def resume(self, endpoint: str) -> None:
        """Note that an endpoint is no longer paused."""
        ...

    def paused(self) -> Mapping[str, str]:
        """Return the paused endpoints with their reasons."""
        ...

    def open_breaker(self, endpoint: str, reason: str, at: datetime) -> None:
        """Note that an endpoint's circuit breaker is open since `at`.

        If it is already noted as open, the first time and the last reason count.
        """
        ...

    def close_breaker(self, endpoint: str) -> None:
        """Note that an endpoint's circuit breaker is closed."""
        ...

    def open_breakers(self) -> Mapping[str, OpenBreaker]:
        """Return the open breakers by endpoint; notes of processes that have ended stay."""
        ...

    def add_replay(self, replay: Replay) -> int:
        """Add a replay of messages that are stored now, and return its number."""
        ...

    def replays(self) -> Sequence[Replay]:
        """Return the replays that aren't complete, oldest first."""
        ...

    def advance_replay(self, number: int, most: int, now: datetime) -> int:
        """Process the next messages, and return their number; 0 when the replay is complete.

        These are up to `most`, and at most MOST_ADVANCED. Each message gets a delivery that is due
        now, unless one to this endpoint is already pending.
        """
        ...

    def forget_attempts(self, before: datetime) -> None:
        """Delete attempts made before `before`."""
        ...
