"""Renews the claims of this process while it works on them (like frain-dev/convoy)."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from app.storage.delivery import Claim
from app.storage.delivery_queue import DeliveryQueue

LEASE = timedelta(seconds=75)
"""Longer than any timeout of an endpoint; and short enough for a repeat within 90 s of a kill."""
RENEWAL_SECONDS = 20.0
AGAIN_SECONDS = 1.0
_MOST_AT_ONCE = 200


class Leases:
    """The claims of this process, by the number of the delivery."""

    def __init__(
        self, queue: DeliveryQueue, clock: Callable[[], datetime], timer: Callable[[], float]
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._timer = timer
        self._held: dict[int, Claim] = {}
        self._renew_at = timer() + RENEWAL_SECONDS
        self._are_forgiven = False

    def __contains__(self, number: int) -> bool:
        return number in self._held

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, claims: Iterable[Claim]) -> None:
        """Renew these claims from now on; of two claims of a delivery, the last counts."""
        self._held.update((claim.delivery.number, claim) for claim in claims)

    def let_go(self, number: int) -> Claim:
        """Return the claim, and don't renew it any more."""
        return self._held.pop(number)

    def renew_due(self) -> set[int]:
        """Renew all claims if it is time; return the lost ones. Raises StorageUnavailable."""
        if self._timer() < self._renew_at:
            return set()
        self._renew_at = self._timer() + AGAIN_SECONDS  # if this fails
        lost = set[int]()
        claims = list(self._held.values())
        for start in range(0, len(claims), _MOST_AT_ONCE):
            lost |= self._renew(claims[start : start + _MOST_AT_ONCE])
        self._renew_at = self._timer() + RENEWAL_SECONDS
        return lost

    def forgive(self) -> None:
        """Let no claim count as expired, once: this process stops, and is killed if it takes long.

        Raises StorageUnavailable.
        """
        if self._held and not self._are_forgiven:
            self._queue.forgive(list(self._held.values()))
        self._are_forgiven = True

    def _renew(self, claims: list[Claim]) -> set[int]:
        kept = self._queue.renew(claims, self._clock() + LEASE)
        self._held.update((claim.delivery.number, claim) for claim in kept)
        return {c.delivery.number for c in claims} - {c.delivery.number for c in kept}
