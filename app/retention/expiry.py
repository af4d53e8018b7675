"""Deletes messages that are too old, and the oldest of those that are too many.

A message with a pending or dead delivery stays until the delivery is settled or discarded.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from app.settings.model import Retention
from app.storage.interface import MessageStore
from app.storage.message import Reason, StoredMessage

PIECE_MESSAGES = 25
ATTEMPT_DAYS = 30
PAUSES_A_PIECE = 60
LONG_RUN_SECONDS = 3600.0
PAUSES_IN_A_LONG_RUN = 5

_log = logging.getLogger("gomail")


class Expiry:
    """Keeps a store within the limits that `limits` sets.

    Deleting keeps other writers out. So it is done in small pieces, each followed by a pause of
    PAUSES_A_PIECE times what it has taken: on a slow disk, too, most of the time is for new mail.
    After LONG_RUN_SECONDS pauses are shorter: mail may be coming faster than it goes.
    """

    def __init__(
        self,
        store: MessageStore,
        limits: Retention,
        clock: Callable[[], datetime],
        timer: Callable[[], float],
        pause: Callable[[float], None],
    ) -> None:
        """`clock` tells the time, `timer` the seconds of a monotonic clock; `pause` sleeps."""
        self._store = store
        self._limits = limits
        self._clock = clock
        self._timer = timer
        self._pause = pause

    def run(self) -> None:
        """Delete and erase what has to go, unless another host is doing that.

        Raises StorageUnavailable; what was done until then is kept.
        """
        with self._store.retention_turn() as is_ours:
            if is_ours:
                self._run()

    def _run(self) -> None:
        count, began = 0, self._timer()
        due, removed = self._remove_piece(began, None)
        while due:
            count += removed
            # Those before it that are left are not delivered yet.
            due, removed = self._remove_piece(began, due[-1])
        if count:
            _log.info("Retention has deleted %d messages", count)
        self._store.erase()
        self._store.note_retention(self._clock(), self._kept_for_delivery())

    def forget(self) -> None:
        """Forget messages deleted more than deduplication_days ago, and old attempts.

        Raises StorageUnavailable.
        """
        self._store.forget_deleted(self._days_ago(self._limits.deduplication_days))
        self._store.deliveries.forget_attempts(self._days_ago(ATTEMPT_DAYS))

    def _remove_piece(self, run_began: float, last: str | None) -> tuple[list[str], int]:
        """Return the ids of the next messages that are due, and how many of them were deleted."""
        began = self._timer()
        expired = self._expired(last) if self._has_limits() else []
        if not expired:
            return [], 0
        ids = [message.message_id for message in expired]
        removed = self._store.remove(ids, Reason.RETENTION)
        ended = self._timer()
        is_long = ended - run_began > LONG_RUN_SECONDS
        self._pause((ended - began) * (PAUSES_IN_A_LONG_RUN if is_long else PAUSES_A_PIECE))
        return ids, len(removed)

    def _has_limits(self) -> bool:
        return bool(self._limits.days or self._limits.max_bytes)

    def _kept_for_delivery(self) -> int:
        if self._excess_bytes() > 0:
            return self._store.count_undone(None)
        days = self._limits.days
        return self._store.count_undone(self._days_ago(days)) if days else 0

    def _expired(self, last: str | None) -> list[StoredMessage]:
        excess = self._excess_bytes()
        expired = []
        for message in self._store.oldest_done(PIECE_MESSAGES, last):
            if excess <= 0 and not self._is_too_old(message):
                break
            expired.append(message)
            excess -= message.size
        return expired

    def _is_too_old(self, message: StoredMessage) -> bool:
        return bool(self._limits.days) and message.received_at < self._days_ago(self._limits.days)

    def _excess_bytes(self) -> int:
        most = self._limits.max_bytes
        return self._store.statistics().bytes - most if most else 0

    def _days_ago(self, days: int) -> datetime:
        return self._clock() - timedelta(days=days)
