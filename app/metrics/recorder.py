"""What a worker counts while it serves, with label values bound in advance.

What can be derived when Prometheus asks isn't counted here (see app.metrics.exposition).
"""

from collections.abc import Iterable
from typing import Literal, get_args

from prometheus_client import Counter, Gauge, Histogram

from app.errors import ERRORS
from app.metrics import catalog
from app.metrics.catalog import Metric, ObjectOperation

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"
UNMATCHED = "unmatched"
"""The endpoint of a request that no route matches."""

NotStored = Literal["duplicate", "rejected", "error"]
OBJECT_OPERATIONS: tuple[ObjectOperation, ...] = get_args(ObjectOperation)
CONNECTION_STATES = ("in_use", "idle")


class Recorder:
    """One per process. Series are never removed, so unknown methods share one label value."""

    def __init__(self) -> None:
        """Create the metrics; app.metrics.slot_values must have chosen their files before."""
        self._duration = _histogram(catalog.REQUEST_DURATION)
        self._response_size = _histogram(catalog.RESPONSE_SIZE)
        self._requests: dict[tuple[str, str, int], tuple[Histogram, Histogram]] = {}
        emails = _counter(catalog.EMAILS)
        self._emails = {
            "duplicate": emails.labels("duplicate"),
            "rejected": emails.labels("rejected"),
            "error": emails.labels("error"),
        }
        self._email_size = _histogram(catalog.EMAIL_SIZE)
        self._email_duration = _histogram(catalog.EMAIL_DURATION)
        self._without_endpoint = _counter(catalog.WITHOUT_ENDPOINT)
        operations = _counter(catalog.STORAGE_OPERATIONS)
        self._failed_adds = operations.labels("add", "failure")
        self._checks = operations.labels("check", "success")
        self._failed_checks = operations.labels("check", "failure")
        self._batch_size = _histogram(catalog.COMMIT_BATCH_SIZE)
        self._database_connect_errors = _counter(catalog.DATABASE_CONNECT_ERRORS)
        self._database_wait = _histogram(catalog.DATABASE_WAIT)
        connections = _gauge_of_the_living(catalog.DATABASE_CONNECTIONS)
        self._connections = [connections.labels(state) for state in CONNECTION_STATES]
        self.database_pool(in_use=0, idle=0)  # a predecessor in the slot may have been killed
        requests = _counter(catalog.OBJECT_STORE_OPERATIONS)
        self._object_requests = {
            (operation, succeeded): requests.labels(operation, status)
            for operation in OBJECT_OPERATIONS
            for succeeded, status in ((True, "success"), (False, "failure"))
        }
        hits = _counter(catalog.RATE_LIMIT_HITS)
        self._allow = hits.labels("allowed")._value.inc  # without inc's own checks
        self._deny = hits.labels("denied")._value.inc
        self._auth_failures = _counter(catalog.AUTH_FAILURES)
        self._errors = _counter(catalog.ERRORS)
        self._timeouts = _counter(catalog.TIMEOUTS)

    def know_endpoints(self, endpoints: Iterable[str], mail_endpoints: Iterable[str]) -> None:
        """Create the series that alerts watch, at 0: one that first appears at 1 hasn't risen."""
        for endpoint in endpoints:
            self._timeouts.labels(endpoint)
        for endpoint in mail_endpoints:
            for code in ERRORS:
                self._errors.labels(code, endpoint)

    def request(self, method: str, endpoint: str, status: int, seconds: float, size: int) -> None:
        """Count a request that was answered with `size` bytes after `seconds`.

        `endpoint` is the rule of a route, or UNMATCHED.
        """
        known = self._requests.get((method, endpoint, status))
        duration, response_size = known or self._histograms(method, endpoint, status)
        duration.observe(seconds)
        response_size.observe(size)

    def stored(self, size: int, seconds: float) -> None:
        """Count a new message of `size` bytes that was durable `seconds` after its last byte."""
        self._email_size.observe(size)
        self._email_duration.observe(seconds)

    def without_endpoint(self) -> None:
        """Count a new message whose recipient matches no endpoint."""
        self._without_endpoint.inc()

    def not_stored(self, outcome: NotStored) -> None:
        """Count a message that was not stored, by its outcome."""
        self._emails[outcome].inc()

    def commit(self, batch_size: int) -> None:
        """Count a commit of `batch_size` messages, including those that were already stored."""
        self._batch_size.observe(batch_size)

    def failed_add(self) -> None:
        """Count a message that could not be stored."""
        self._failed_adds.inc()

    def check(self, *, succeeded: bool) -> None:
        """Count a check of the store."""
        (self._checks if succeeded else self._failed_checks).inc()

    def database_pool(self, *, in_use: int, idle: int) -> None:
        """Note how many connections to the database this process has."""
        for gauge, count in zip(self._connections, (in_use, idle), strict=True):
            gauge.set(count)

    def database_pool_wait(self, seconds: float) -> None:
        """Count a request for a connection that was answered after `seconds`, or failed then."""
        self._database_wait.observe(seconds)

    def database_connect_error(self) -> None:
        """Count a connection to the database that couldn't be made."""
        self._database_connect_errors.inc()

    def object_store_operation(self, operation: ObjectOperation, *, succeeded: bool) -> None:
        """Count a request to the object store."""
        self._object_requests[operation, succeeded].inc()

    def rate_limit(self, *, allowed: bool) -> None:
        """Count a decision of the rate limit."""
        (self._allow if allowed else self._deny)(1)

    def error(self, code: str, endpoint: str) -> None:
        """Count an answer with a problem document."""
        self._errors.labels(code, endpoint).inc()
        if code == "unauthorized":
            self._auth_failures.inc()

    def timeout(self, endpoint: str) -> None:
        """Count a request whose client was too slow."""
        self._timeouts.labels(endpoint).inc()

    def _histograms(self, method: str, endpoint: str, status: int) -> tuple[Histogram, Histogram]:
        known_method = method if method in METHODS else OTHER_METHOD
        labels = (known_method, endpoint, status)
        histograms = self._requests.get(labels)
        if histograms is None:
            histograms = self._requests[labels] = (
                self._duration.labels(*labels),
                self._response_size.labels(*labels),
            )
        return histograms


def _counter(metric: Metric) -> Counter:
    return Counter(metric.name, metric.help, metric.labels, registry=None)


def _gauge_of_the_living(metric: Metric) -> Gauge:
    return Gauge(
        metric.name, metric.help, metric.labels, registry=None, multiprocess_mode="livesum"
    )


def _histogram(metric: Metric) -> Histogram:
    return Histogram(metric.name, metric.help, metric.labels, buckets=metric.buckets, registry=None)
