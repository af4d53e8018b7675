"""The metrics of deliveries that are read from the store, and the states of endpoints."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import Metric as Family

from app.metrics import catalog
from app.metrics.families import family

STATES = ("pending", "delivered", "dead", "discarded")
ENDPOINT_STATES = ("open", "closed", "paused")


@dataclass(frozen=True)
class DeliveryFigures:
    """Counts by endpoint and state, ages in seconds, and the names of paused endpoints."""

    counts: Mapping[tuple[str, str], int]
    oldest_pending: Mapping[str, float]
    paused: frozenset[str]


def delivery_families(
    figures: DeliveryFigures, configured: Iterable[str], told: Family
) -> Iterator[Family]:
    """Yield the families, with each endpoint that is configured or has deliveries.

    `told` is delivery_endpoint_state as recorded by delivery processes: whether it is open.
    """
    present = set(configured)
    names = sorted(present | {name for name, _ in figures.counts})
    counts = family(catalog.DELIVERIES)
    oldest = family(catalog.DELIVERY_OLDEST_PENDING)
    states = family(catalog.DELIVERY_ENDPOINT_STATE)
    is_open = {sample.labels["endpoint"] for sample in told.samples if sample.value}
    for name in names:
        for state in STATES:
            count = figures.counts.get((name, state), 0)
            counts.add_sample(counts.name, {"endpoint": name, "state": state}, count)
        oldest.add_sample(oldest.name, {"endpoint": name}, figures.oldest_pending.get(name, 0))
        is_paused = name in figures.paused or name not in present
        actual = "paused" if is_paused else "open" if name in is_open else "closed"
        for state in ENDPOINT_STATES:
            labels = {"endpoint": name, "state": state}
            states.add_sample(states.name, labels, state == actual)
    yield from (counts, oldest, states)
