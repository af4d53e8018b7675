"""Decides which request gets the next thread, so that no endpoint delays another.

- A share of the threads is reserved for each endpoint that isn't slow, even while it is idle.
- Slow endpoints and retries get a quarter of the threads together.
- The endpoint with the fewest requests in flight comes first (max-min fairness; Bertsekas and
  Gallager, "Data Networks", 1992, section 6.5.2). For a retry, only the endpoint's retries count:
  otherwise those of a busy endpoint would never be ahead of slow endpoints, which have few in
  flight.
"""

from collections.abc import Collection, Iterator
from itertools import chain

from app.deliveries.lane import Lane, is_retry
from app.storage.delivery import Claim

SLOW_PART = 4


class Turns:
    """Which requests may begin in one round of the dispatcher."""

    def __init__(self, lanes: Collection[Lane], threads: int) -> None:
        self._lanes = lanes
        self._free = threads - sum(len(lane.under_way) for lane in lanes)
        self._slow = {lane for lane in lanes if lane.is_slow()}
        under_way = chain.from_iterable(lane.under_way.values() for lane in lanes)
        held = sum(each.lane in self._slow or each.is_retry for each in under_way)
        self._slow_free = max(threads // SLOW_PART, 1) - held
        self._share = threads // max(len(lanes), 1)
        self._reserved = sum(map(self._unused, lanes))

    def may_retry(self) -> bool:
        """Return whether there is a thread for a retry."""
        return self._slow_free > 0

    def room(self, lane: Lane) -> int:
        """Return how many first attempts of a lane may begin now."""
        own = self._unused(lane)
        shared = self._free - (self._reserved - own)
        room = min(lane.room(), self._free, max(shared, own))
        return max(min(room, self._slow_free) if lane in self._slow else room, 0)

    def may_line_up(self, lane: Lane) -> bool:
        """Return whether a lane's threads may begin its next requests without the dispatcher.

        Not if another lane may want the thread, and not while the breaker allows fewer requests.
        """
        is_alone = self._free > self._reserved or len(self._lanes) == 1
        is_well = lane not in self._slow and lane.breaker.limit() >= lane.most
        return is_alone and is_well and not lane.is_one_at_a_time()

    def wanted(self, lane: Lane) -> int:
        """Return how many more claims are useful now."""
        if lane.is_one_at_a_time():
            return self.room(lane) - len(lane.waiting)
        ahead = 0 if lane in self._slow else lane.ahead()
        ready = lane.lined_up() + sum(1 for _ in lane.ready(retries=self.may_retry()))
        wanted = self.room(lane) + ahead - ready
        return wanted if wanted > ahead // 2 else 0  # fewer claims, each of more deliveries

    def take(self) -> Iterator[tuple[Lane, Claim]]:
        """Yield the requests to begin; the caller begins each before it takes the next."""
        while True:
            candidates = [
                (lane, claim)
                for lane in self._lanes
                if lane.waiting and self.room(lane)
                for claim in lane.next_ready(retries=self.may_retry())
            ]
            if not candidates:
                return
            lane, claim = min(candidates, key=self._rank)
            before = self._unused(lane)
            yield lane, claim
            self._free -= 1
            self._slow_free -= lane in self._slow or is_retry(claim)
            self._reserved -= before - self._unused(lane)

    def _rank(self, candidate: tuple[Lane, Claim]) -> tuple[int, float]:
        lane, claim = candidate
        if is_retry(claim) and lane not in self._slow:
            return lane.retries_under_way(), lane.retried_last
        return len(lane.under_way), lane.began_last

    def _unused(self, lane: Lane) -> int:
        return 0 if lane in self._slow else max(self._share - len(lane.under_way), 0)
