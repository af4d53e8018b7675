"""Counts the attempts of a delivery process."""

from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram

from app.metrics import catalog

OUTCOMES = ("delivered", "refused", "timeout", "unreachable")
BREAKER_OPEN = "open"


class DeliveryRecorder:
    """One per process; app.metrics.slot_values must choose its files first."""

    def __init__(self, endpoints: Iterable[str]) -> None:
        """Create the series of `endpoints`: one that first appears at 1 hasn't risen."""
        attempts, duration = catalog.DELIVERY_ATTEMPTS, catalog.DELIVERY_ATTEMPT_DURATION
        state = catalog.DELIVERY_ENDPOINT_STATE
        self._attempts = Counter(attempts.name, attempts.help, attempts.labels, registry=None)
        self._duration = Histogram(
            duration.name, duration.help, duration.labels, buckets=duration.buckets, registry=None
        )
        # If two processes differ, the one that saw the latest change is right.
        self._state = Gauge(
            state.name, state.help, state.labels, registry=None, multiprocess_mode="mostrecent"
        )
        for endpoint in endpoints:
            self._duration.labels(endpoint)
            self.breaker(endpoint, is_open=False)
            for outcome in OUTCOMES:
                self._attempts.labels(endpoint, outcome)

    def attempt(self, endpoint: str, outcome: str, seconds: float) -> None:
        """Count a request to `endpoint` that took `seconds`; `outcome` is one of OUTCOMES."""
        self._attempts.labels(endpoint, outcome).inc()
        self._duration.labels(endpoint).observe(seconds)

    def breaker(self, endpoint: str, *, is_open: bool) -> None:
        """Note whether the endpoint's circuit breaker is open."""
        self._state.labels(endpoint, BREAKER_OPEN).set(is_open)
