"""The state of each endpoint, its reason, and the number of its deliveries."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.errors import EndpointNotFound
from app.settings.endpoints import Endpoint
from app.storage.delivery import State
from app.storage.delivery_queue import DeliveryQueue

REQUESTED = "requested"
"""The reason of a pause by a user; the other reason of a pause is Reason.GONE."""
NOT_CONFIGURED = "not_configured"
"""The reason why an endpoint that was removed from the configuration is paused."""


class EndpointState(StrEnum):
    """OPEN: the endpoint keeps failing, and its circuit breaker lets only probes through."""

    OPEN = "open"
    CLOSED = "closed"
    PAUSED = "paused"


@dataclass(frozen=True)
class EndpointStatus:
    """The status of an endpoint; `endpoint` is None if it isn't configured but has deliveries.

    `reason` is a stable code, None if closed. `since` is when it became open, None unless open.
    `replays` is the number of its replays that are not complete.
    """

    name: str
    endpoint: Endpoint | None
    state: EndpointState
    reason: str | None
    since: datetime | None
    counts: Mapping[State, int]
    oldest_pending_at: datetime | None
    replays: int


class _Known:
    """What the queue knows about endpoints, queried once for all of them."""

    def __init__(self, endpoints: Sequence[Endpoint], queue: DeliveryQueue) -> None:
        self._configured = {endpoint.name: endpoint for endpoint in endpoints}
        self._figures = queue.figures()
        self._paused = queue.paused()
        self._open = queue.open_breakers()
        self._replayed = [replay.endpoint for replay in queue.replays()]

    def names(self) -> list[str]:
        present = {figure.endpoint for figure in self._figures}.union(self._replayed)
        return [*self._configured, *sorted(present - self._configured.keys())]

    def status(self, name: str) -> EndpointStatus:
        own = [figure for figure in self._figures if figure.endpoint == name]
        counts = {each.state: each.count for each in own}
        pending = [each.oldest_created_at for each in own if each.state is State.PENDING]
        state, reason, since = self._standing(name)
        return EndpointStatus(
            name=name,
            endpoint=self._configured.get(name),
            state=state,
            reason=reason,
            since=since,
            counts={each: counts.get(each, 0) for each in State},
            oldest_pending_at=min(pending, default=None),
            replays=self._replayed.count(name),
        )

    def _standing(self, name: str) -> tuple[EndpointState, str | None, datetime | None]:
        if name in self._paused:
            return EndpointState.PAUSED, self._paused[name], None
        if name not in self._configured:
            return EndpointState.PAUSED, NOT_CONFIGURED, None
        if name in self._open:
            return EndpointState.OPEN, self._open[name].reason, self._open[name].opened_at
        return EndpointState.CLOSED, None, None


def endpoint_statuses(endpoints: Sequence[Endpoint], queue: DeliveryQueue) -> list[EndpointStatus]:
    """Return the statuses of `endpoints`, the configured ones, then of others with deliveries.

    Raises StorageUnavailable.
    """
    known = _Known(endpoints, queue)
    return [known.status(name) for name in known.names()]


def endpoint_status(
    name: str, endpoints: Sequence[Endpoint], queue: DeliveryQueue
) -> EndpointStatus:
    """Return the status of one endpoint; raises EndpointNotFound, StorageUnavailable."""
    found = [each for each in endpoint_statuses(endpoints, queue) if each.name == name]
    if not found:
        raise EndpointNotFound("No endpoint has this name.")
    return found[0]


def configured_endpoint(name: str, endpoints: Iterable[Endpoint]) -> Endpoint:
    """Return the endpoint with this name; raises EndpointNotFound."""
    found = [each for each in endpoints if each.name == name]
    if not found:
        raise EndpointNotFound("No endpoint with this name is configured.")
    return found[0]
