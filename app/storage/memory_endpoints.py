"""The pauses and breakers of endpoints in memory."""

from collections.abc import Mapping
from datetime import datetime

from app.storage.delivery import OpenBreaker


class MemoryEndpoints:
    """Part of app.storage.memory_deliveries."""

    def __init__(self) -> None:
        self._paused: dict[str, str] = {}
        self._open: dict[str, OpenBreaker] = {}

    def pause(self, endpoint: str, reason: str) -> None:
        """See DeliveryQueue.pause."""
        self._paused[endpoint] = reason

    def resume(self, endpoint: str) -> None:
        """See DeliveryQueue.resume."""
        self._paused.pop(endpoint, None)

    def paused(self) -> Mapping[str, str]:
        """See DeliveryQueue.paused."""
        return dict(self._paused)

    def open_breaker(self, endpoint: str, reason: str, at: datetime) -> None:
        """See DeliveryQueue.open_breaker."""
        known = self._open.get(endpoint)
        self._open[endpoint] = OpenBreaker(reason, known.opened_at if known else at)

    def close_breaker(self, endpoint: str) -> None:
        """See DeliveryQueue.close_breaker."""
        self._open.pop(endpoint, None)

    def open_breakers(self) -> Mapping[str, OpenBreaker]:
        """See DeliveryQueue.open_breakers."""
        return dict(self._open)
