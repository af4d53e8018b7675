"""What Prometheus gets: the sum of the workers' files, and what can be read from outside of them.

Numbers that follow from others are derived here, so that counting them costs no request anything.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import Metric as Family
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.utils import floatToGoString

from app.metrics import catalog
from app.metrics.catalog import Metric
from app.metrics.delivery_families import delivery_families
from app.metrics.families import family, labelled, single
from app.metrics.limits import limits
from app.metrics.runtime import runtime_families
from app.metrics.stored import Figures, stored_families
from app.settings import Settings, Storage
from app.state.processes import Processes
from app.state.shutdowns import read_shutdowns
from app.state.slots import Slots
from app.version import __version__

_RECORDED = (
    catalog.REQUEST_DURATION,
    catalog.RESPONSE_SIZE,
    catalog.EMAILS,
    catalog.EMAIL_SIZE,
    catalog.EMAIL_DURATION,
    catalog.WITHOUT_ENDPOINT,
    catalog.STORAGE_OPERATIONS,
    catalog.COMMIT_BATCH_SIZE,
    catalog.RATE_LIMIT_HITS,
    catalog.AUTH_FAILURES,
    catalog.ERRORS,
    catalog.TIMEOUTS,
    catalog.DELIVERY_ATTEMPTS,
    catalog.DELIVERY_ATTEMPT_DURATION,
)
_OF_DATABASE = (
    catalog.DATABASE_CONNECTIONS,
    catalog.DATABASE_WAIT,
    catalog.DATABASE_CONNECT_ERRORS,
)


class Exposition:
    """A collector for a prometheus_client registry: each metric of the catalog, once."""

    def __init__(
        self,
        directory: Path,
        settings: Settings,
        slots: Slots,
        processes: Processes,
        stored_figures: Callable[[], Figures | None],
    ) -> None:
        """`directory` holds the files of the slots.

        `stored_figures` answers soon, and with None when the store can't be read.
        """
        self._files = MultiProcessCollector(None, str(directory))
        self._data_dir = settings.storage.data_dir
        self._recorded = _recorded_with(settings.storage)
        self._limits = limits(settings)
        self._endpoints = [endpoint.name for endpoint in settings.deliveries.endpoints]
        self._slots = slots
        self._processes = processes
        self._stored_figures = stored_figures
        self._last_shutdowns = read_shutdowns(self._data_dir)

    def describe(self) -> Iterable[Family]:
        """Return all families, so that a scrape can ask for some by name."""
        return map(family, catalog.CATALOG)

    def collect(self) -> Iterator[Family]:
        """Yield each metric as it is now."""
        found = {each.name: each for each in self._files.collect()}
        yield from _recorded(self._recorded, found)
        yield single(catalog.ACTIVE_REQUESTS, self._slots.in_flight())
        yield single(catalog.DRAINING, self._slots.draining)
        yield from self._disk()
        yield from self._stored(found)
        yield from self._shutdowns()
        yield labelled(catalog.CONFIG_LIMIT, self._limits)
        yield labelled(catalog.BUILD_INFO, {__version__: 1})
        yield from runtime_families(self._processes)

    def _disk(self) -> Iterator[Family]:
        try:
            found = os.statvfs(self._data_dir)
        except OSError:  # storage_operations_total shows that the disk has failed
            return
        yield single(catalog.STORAGE_FREE, found.f_bavail * found.f_frsize)
        yield single(catalog.STORAGE_SIZE, found.f_blocks * found.f_frsize)

    def _stored(self, found: Mapping[str, Family]) -> Iterator[Family]:
        figures = self._stored_figures()
        if figures is not None:
            yield from stored_families(figures)
            states = family(catalog.DELIVERY_ENDPOINT_STATE)
            told = found.get(states.name, states)
            yield from delivery_families(figures.deliveries, self._endpoints, told)

    def _shutdowns(self) -> Iterator[Family]:
        # If the disk can't be read for a while, counters must not fall and then rise again.
        shutdowns = self._last_shutdowns = read_shutdowns(self._data_dir, self._last_shutdowns)
        yield labelled(catalog.SHUTDOWNS, {kind: one["count"] for kind, one in shutdowns.items()})
        durations = family(catalog.SHUTDOWN_DURATION)
        for kind, one in shutdowns.items():
            for suffix, labels, value in _duration_samples(one, kind):
                durations.add_sample(durations.name + suffix, labels, value)
        yield durations


def _recorded_with(storage: Storage) -> Iterable[Metric]:
    of_database = _OF_DATABASE if storage.database_url else ()
    of_objects = (catalog.OBJECT_STORE_OPERATIONS,) if storage.objects else ()
    return (*_RECORDED, *of_database, *of_objects)


def _recorded(metrics: Iterable[Metric], found: Mapping[str, Family]) -> Iterable[Family]:
    empty = map(family, metrics)
    families = {each.name: found.get(each.name, each) for each in empty}
    _add_derived(families)
    return families.values()


def _add_derived(families: dict[str, Family]) -> None:
    def derive(target: Metric, source: Metric, suffix: str, **labels: str) -> None:
        name = family(target).name
        derived = families.setdefault(name, family(target))
        for sample in families[source.name].samples:
            if sample.name == source.name + suffix:
                derived.add_sample(target.name, {**sample.labels, **labels}, sample.value)

    derive(catalog.REQUESTS, catalog.REQUEST_DURATION, "_count")
    derive(catalog.EMAILS, catalog.EMAIL_SIZE, "_count", status="success")
    # Each message that was stored was part of exactly one commit.
    added = {"operation": "add", "status": "success"}
    derive(catalog.STORAGE_OPERATIONS, catalog.COMMIT_BATCH_SIZE, "_sum", **added)


def _duration_samples(
    one: Mapping[str, Any], kind: str
) -> Iterator[tuple[str, dict[str, str], float]]:
    bounds = [*catalog.SHUTDOWN_DURATION.buckets, math.inf]
    for bound, count in zip(bounds, [*one["buckets"], one["count"]], strict=True):
        yield "_bucket", {"type": kind, "le": floatToGoString(bound)}, count
    yield "_count", {"type": kind}, one["count"]
    yield "_sum", {"type": kind}, one["seconds"]
