"""The claims of one endpoint that wait for a thread, and its requests in flight."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import inf
from queue import Empty, SimpleQueue

from app.deliveries.breaker import Breaker, BreakerState
from app.deliveries.latency import SLOW_SECONDS, Latency
from app.settings.endpoints import Endpoint
from app.storage.delivery import Claim
from app.storage.delivery_queue import MOST_CLAIMS

AHEAD_SECONDS = 0.1
"""Claims beyond those that can be sent at once: as many as will be sent within this time.

More claims would only wait, and would be late if this process were killed.
"""


@dataclass(frozen=True)
class Request:
    """A request in flight since `began`, a time of the timer."""

    lane: "Lane"
    claim: Claim
    permit: int
    began: float

    @property
    def is_retry(self) -> bool:
        """Whether an earlier attempt has failed."""
        return is_retry(self.claim)


def is_retry(claim: Claim) -> bool:
    """Return whether an earlier attempt at the delivery has failed."""
    return claim.delivery.attempts > 0


class Lane:
    """The lane of one endpoint; for the dispatcher's thread only, except `next_request`."""

    def __init__(self, endpoint: Endpoint, timer: Callable[[], float]) -> None:
        self.endpoint = endpoint
        self.most = 1 if endpoint.ordered else endpoint.concurrency
        self.breaker = Breaker(self.most, timer)
        self.latency = Latency()
        self.waiting: list[Claim] = []
        self.under_way: dict[int, Request] = {}
        self.began_last = 0.0
        self.retried_last = 0.0
        self.has_more = False
        self._lined_up = SimpleQueue[Request]()
        self._timer = timer

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return self.endpoint.name

    def is_slow(self) -> bool:
        """Return whether the endpoint's requests occupy threads for long."""
        since = self._timer() - SLOW_SECONDS
        return self.latency.is_slow(sum(each.began < since for each in self.under_way.values()))

    def retries_under_way(self) -> int:
        """Return how many of the requests in flight are retries."""
        return sum(request.is_retry for request in self.under_way.values())

    def room(self) -> int:
        """Return how many requests the endpoint's limits allow to begin now."""
        return max(self.breaker.limit() - len(self.under_way), 0)

    def is_one_at_a_time(self) -> bool:
        """Return whether only one request may be in flight: in order, or while probing."""
        return self.endpoint.ordered or self.breaker.state is BreakerState.OPEN

    def ahead(self) -> int:
        """Return how many claims are useful beyond those that can be sent at once."""
        seconds = self.latency.median()
        if seconds is None or self.is_one_at_a_time() or self.breaker.limit() < self.most:
            return 0
        return min(int(self.most * AHEAD_SECONDS / max(seconds, 0.001)), MOST_CLAIMS)

    def ready(self, *, retries: bool) -> Iterator[Claim]:
        """Yield the waiting claims, replays last; without `retries`, only first attempts."""
        for is_replay in (False, True):
            for claim in self.waiting:
                if claim.delivery.is_replay == is_replay and (retries or not is_retry(claim)):
                    yield claim

    def next_ready(self, *, retries: bool) -> list[Claim]:
        """Return the next claim of each kind: the first attempt and, if `retries`, the retry.

        Those of replays only if no other claim is ready.
        """
        found: dict[bool, Claim] = {}
        for claim in self.ready(retries=retries):
            if any(each.delivery.is_replay != claim.delivery.is_replay for each in found.values()):
                break
            found.setdefault(is_retry(claim), claim)
            if len(found) == 1 + retries:
                break
        return list(found.values())

    def begin(self, claim: Claim) -> Request:
        """Begin a waiting claim, and return its request."""
        self.waiting.remove(claim)
        self.began_last = self._timer()
        request = Request(self, claim, self.breaker.begin(), self.began_last)
        if request.is_retry:
            self.retried_last = self.began_last
        self.under_way[claim.delivery.number] = request
        return request

    def line_up(self) -> None:
        """Let `next_request` return waiting first attempts at live mail.

        So a thread whose request has succeeded sends another one at once: while the dispatcher
        writes to the store, threads had nothing to do for most of the time.
        """
        for claim in [each for each in self.ready(retries=False) if not each.delivery.is_replay]:
            self.waiting.remove(claim)
            self._lined_up.put(Request(self, claim, self.breaker.begin(), self._timer()))

    def is_waiting(self) -> bool:
        """Return whether any claim waits for a thread."""
        return bool(self.waiting) or not self._lined_up.empty()

    def lined_up(self) -> int:
        """Return how many claims `next_request` can return."""
        return self._lined_up.qsize()

    def withdraw(self, most: float = inf) -> None:
        """Let up to `most` of the claims that are lined up wait for the dispatcher again."""
        withdrawn: list[Claim] = []
        while len(withdrawn) < most and (request := self._take()) is not None:
            withdrawn.append(request.claim)
        self.waiting[:0] = withdrawn

    def next_request(self) -> Request | None:
        """Begin a request in place of one that has succeeded; safe for threads.

        The dispatcher must then call `note_begun`, before it calls `end` for that request.
        """
        request = self._take()
        return request and replace(request, began=self._timer())

    def note_begun(self, request: Request) -> None:
        """Note that a thread has begun a request from `next_request`."""
        self.began_last = request.began
        self.under_way[request.claim.delivery.number] = request

    def end(self, request: Request) -> None:
        """Note that a request has ended."""
        del self.under_way[request.claim.delivery.number]

    def take_waiting(self) -> list[Claim]:
        """Remove and return all waiting claims."""
        self.withdraw()
        taken, self.waiting = self.waiting, []
        return taken

    def drop_waiting(self, number: int) -> bool:
        """Remove the claim of the delivery with this number; return whether it waited."""
        self.withdraw()
        kept = [claim for claim in self.waiting if claim.delivery.number != number]
        found = len(kept) < len(self.waiting)
        self.waiting = kept
        return found

    def take_surplus_retries(self) -> list[Claim]:
        """Remove and return waiting retries beyond those that can be sent at once."""
        surplus = [claim for claim in self.waiting if is_retry(claim)][self.most :]
        self.waiting = [claim for claim in self.waiting if claim not in surplus]
        return surplus

    def _take(self) -> Request | None:
        try:
            return self._lined_up.get_nowait()
        except Empty:
            return None
