"""The metrics about what is stored, which the store itself counts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import Metric as Family

from app.metrics import catalog
from app.metrics.delivery_families import DeliveryFigures
from app.metrics.families import labelled, single


@dataclass(frozen=True)
class Figures:
    """What the store has counted; `deleted` by reason.

    `retention_ran_at` is in seconds since 1970, 0 when it never ran.
    """

    messages: int
    bytes: int
    deleted: Mapping[str, int]
    passed_over: int
    retention_ran_at: float
    kept_for_delivery: int
    deliveries: DeliveryFigures


def stored_families(figures: Figures) -> Iterator[Family]:
    """Yield the families of a store."""
    yield single(catalog.STORED_MESSAGES, figures.messages)
    yield single(catalog.STORED_BYTES, figures.bytes)
    yield labelled(catalog.MESSAGES_DELETED, figures.deleted)
    yield single(catalog.RECORDS_PASSED_OVER, figures.passed_over)
    yield single(catalog.RETENTION_LAST_RUN, figures.retention_ran_at)
    yield single(catalog.KEPT_FOR_DELIVERY, figures.kept_for_delivery)
