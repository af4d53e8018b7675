"""Counts the attempts of a delivery process."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from prometheus_client import Counter, Gauge, Histogram

from app.metrics import catalog

OUTCOMES = ("delivered", "refused", "timeout", "unreachable")
BREAKER_OPEN = "open"


@dataclass(frozen=True)
class _Series:
    """The series of one endpoint: a look-up of labels takes longer than counting."""

    attempts: Mapping[str, Counter]
    duration: Histogram
    state: Gauge


class DeliveryRecorder:
    """One per process; app.metrics.slot_values must choose its files first."""

    def __init__(self, endpoints: Collection[str]) -> None:
        """Create the series of `endpoints`: one that first appears at 1 hasn't risen."""
        attempts, duration = catalog.DELIVERY_ATTEMPTS, catalog.DELIVERY_ATTEMPT_DURATION
        state = catalog.DELIVERY_ENDPOINT_STATE
        attempts_of = Counter(attempts.name, attempts.help, attempts.labels, registry=None)
        duration_of = Histogram(
            duration.name, duration.help, duration.labels, buckets=duration.buckets, registry=None
        )
        # If two processes differ, the one that saw the latest change is right.
        state_of = Gauge(
            state.name, state.help, state.labels, registry=None, multiprocess_mode="mostrecent"
        )
        self._series = {
            endpoint: _Series(
                {outcome: attempts_of.labels(endpoint, outcome) for outcome in OUTCOMES},
                duration_of.labels(endpoint),
                state_of.labels(endpoint, BREAKER_OPEN),
            )
            for endpoint in endpoints
        }
        for endpoint in endpoints:
            self.breaker(endpoint, is_open=False)

    def attempt(self, endpoint: str, outcome: str, seconds: float) -> None:
        """Count a request to `endpoint` that took `seconds`; `outcome` is one of OUTCOMES."""
        series = self._series[endpoint]
        series.attempts[outcome].inc()
        series.duration.observe(seconds)

    def breaker(self, endpoint: str, *, is_open: bool) -> None:
        """Note whether the endpoint's circuit breaker is open."""
        self._series[endpoint].state.set(is_open)
