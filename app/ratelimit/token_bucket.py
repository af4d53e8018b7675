"""The token bucket, as arithmetic on one number per client.

This is the generic cell rate algorithm (ITU-T I.371, annex A, virtual scheduling): a token bucket
expressed as the theoretical arrival time of the next request. One integer is the whole state, so
there is no refill loop and no rounding, and the time to wait is exact.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

MINUTE_US = 60_000_000


class Decision(NamedTuple):  # made for every request, at a third of the cost of a dataclass
    """Whether a request is allowed; times are in microseconds from the moment of the decision.

    `remaining` more requests would be allowed right now; `retry_after_us` is 0 when this one is
    allowed; after `full_after_us` the bucket is full again.
    """

    allowed: bool
    remaining: int
    retry_after_us: int
    full_after_us: int


@dataclass(frozen=True)
class TokenBucket:
    """A token arrives every `interval_us`; a full bucket holds `capacity_us` worth of them."""

    interval_us: int
    capacity_us: int

    def take(self, arrival_us: int, now_us: int) -> tuple[int, Decision]:
        """Take one token at `now_us` from the bucket whose state is `arrival_us`.

        Return the new state and the decision. The state of a new client is 0. If the clock was
        set back, the bucket counts as no worse than empty: nobody is locked out or gets extra.
        """
        backlog = min(max(arrival_us - now_us, 0), self.capacity_us)
        allowed = backlog + self.interval_us <= self.capacity_us
        if allowed:
            backlog += self.interval_us
        return now_us + backlog, self.decision(allowed, backlog)

    def give_back(self, arrival_us: int) -> int:
        """Return the state `arrival_us` with one token more."""
        return max(arrival_us - self.interval_us, 0)

    def decision(self, allowed: bool, backlog_us: int) -> Decision:
        """Return the decision that leaves the bucket `backlog_us` away from being full."""
        room = self.capacity_us - backlog_us
        retry_after = 0 if allowed else self.interval_us - room
        return Decision(allowed, room // self.interval_us, retry_after, backlog_us)


def token_bucket(per_minute: int, burst: int) -> TokenBucket:
    """Return the bucket for `per_minute` requests (at least 1) and bursts of `burst`."""
    # Rounded up, so that no minute has more requests than allowed.
    interval = -(-MINUTE_US // per_minute)
    return TokenBucket(interval_us=interval, capacity_us=interval * burst)


class Limiter(Protocol):
    """The buckets of many clients; safe for threads and processes."""

    def take(self, client: str) -> Decision:
        """Take one token from the bucket of `client`; atomic. Never raises."""
        ...

    def give_back(self, client: str) -> None:
        """Put back a token that `take` has just taken; atomic. Never raises."""
        ...
