"""Creates the deliveries of replays, as fast as their rates and other deliveries allow."""

from collections.abc import Callable, Collection
from datetime import datetime

from app.storage.delivery import Replay
from app.storage.delivery_queue import DeliveryQueue

FEED_SECONDS = 0.1
LOOK_SECONDS = 1.0
PIECE_MESSAGES = 200
_ROUNDING = 1e-9


class ReplayFeed:
    """Creates the deliveries of replays in pieces, each after the previous one is being sent.

    So a replay of a million messages never has a million pending deliveries. A rate applies to each
    process separately.
    """

    def __init__(
        self, queue: DeliveryQueue, clock: Callable[[], datetime], timer: Callable[[], float]
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._timer = timer
        self._look_at = self._accrued_at = timer()
        self._credits: dict[int, float] = {}

    def is_due(self) -> bool:
        """Return whether it is time to feed."""
        return self._timer() >= self._look_at

    def feed(self, idle: Collection[str]) -> set[str]:
        """Create deliveries for `idle` endpoints; return the names of those that got some.

        Raises StorageUnavailable.
        """
        now = self._timer()
        elapsed, self._accrued_at = now - self._accrued_at, now
        replays = self._queue.replays()
        self._look_at = now + (FEED_SECONDS if replays else LOOK_SECONDS)
        self._credits = {each.number: self._credit(each, elapsed) for each in replays}
        return {each.endpoint for each in replays if each.endpoint in idle and self._feed(each)}

    def _credit(self, replay: Replay, elapsed: float) -> float:
        """Return how many messages the rate allows now, including a part of one."""
        if replay.rate is None:
            return PIECE_MESSAGES
        # An unused rate expires, so that a replay that had to wait doesn't proceed in a burst. The
        # limit exceeds one message, or what accrues beyond it before the next feed would be lost.
        most = max(replay.rate, 1) + 1
        credit = self._credits.get(replay.number)
        return 0 if credit is None else min(credit + elapsed * replay.rate, most)

    def _feed(self, replay: Replay) -> int:
        most = min(int(self._credits[replay.number] + _ROUNDING), PIECE_MESSAGES)
        if not most:
            return 0
        self._credits[replay.number] -= most
        return self._queue.advance_replay(replay.number, most, self._clock())
