"""The deliveries of a message, as its page shows them, and their retries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from flask import Response, request

from app.deliveries.delivery_id import delivery_id, delivery_number
from app.deliveries.endpoint_status import EndpointState, EndpointStatus, endpoint_statuses
from app.deliveries.reasons import meaning
from app.errors import DeliveryNotFound
from app.storage.delivery import Attempt, Delivery, DeliveryQuery
from app.storage.message import StoredMessage
from app.web.inbox import audit
from app.web.inbox.blueprint import blueprint
from app.web.inbox.guards import logged_in
from app.web.inbox.rendering import see_other
from app.web.parameters import NoParameters, load_query
from app.web.request_context import current_services

MOST_SHOWN = 50

_NO_PARAMETERS = NoParameters()


@dataclass(frozen=True)
class ShownDelivery:
    """A delivery with its attempts, the last one first.

    `reason` is a sentence about the delivery, `endpoint_reason` one about its endpoint, each None
    if there is nothing to tell. `endpoint_state` is None for an endpoint that is unknown by now.
    """

    id: str
    delivery: Delivery
    attempts: Sequence[Attempt]
    endpoint_state: EndpointState | None
    reason: str | None
    endpoint_reason: str | None


def message_deliveries(message_id: str) -> Sequence[ShownDelivery]:
    """Return the last MOST_SHOWN deliveries of a message; raises StorageUnavailable."""
    services = current_services()
    queue = services.store.deliveries
    statuses = {each.name: each for each in endpoint_statuses(services.endpoints, queue)}
    page = queue.find(DeliveryQuery(message_id=message_id, limit=MOST_SHOWN))
    return [_shown(each, statuses.get(each.endpoint)) for each in page.deliveries]


def replay_urls(stored: StoredMessage, shown: Sequence[ShownDelivery]) -> Mapping[str, str]:
    """Return where to replay a message to each configured endpoint that has no delivery of it."""
    names = {each.delivery.endpoint for each in shown}
    until = stored.received_at + timedelta(milliseconds=1)
    selection = {
        "since": stored.received_at.isoformat(),
        "until": until.isoformat(),
        "recipient": stored.envelope.recipient,
    }
    return {
        each.name: f"/inbox/endpoints/{each.name}/replay?{urlencode(selection)}"
        for each in current_services().endpoints
        if each.name not in names
    }


@blueprint.post("/inbox/deliveries/<id>/retry")
@logged_in
def retry_delivery(id: str) -> Response:  # noqa: A002 -- the name in the rule, metrics and docs
    """Make a delivery due now, in any state.

    Returns:
    - 303 to the deliveries of the message, or to the login page without a session
    - 400 `bad_request` for a parameter
    - 403 `forbidden` for a request from another site, or for a host that isn't allowed
    - 404 `not_found` if no delivery has this id, or it was deleted with its message
    - 429 `rate_limited`
    - 503 `shutting_down`, `storage_unavailable`
    """
    load_query(_NO_PARAMETERS, request.args)
    services, number = current_services(), delivery_number(id)
    message_id = services.store.deliveries.get(number)[0].message_id
    services.store.deliveries.retry([number], services.clock())
    audit.note("Delivery retried on the inbox page", delivery=id, message_id=message_id)
    return see_other(f"/inbox/{message_id}?tab=deliveries&done=retried")


def _shown(delivery: Delivery, status: EndpointStatus | None) -> ShownDelivery:
    return ShownDelivery(
        id=delivery_id(delivery.number),
        delivery=delivery,
        attempts=_attempts(delivery.number),
        endpoint_state=status.state if status else None,
        reason=meaning(delivery.reason),
        endpoint_reason=meaning(status.reason) if status else None,
    )


def _attempts(number: int) -> Sequence[Attempt]:
    try:
        return current_services().store.deliveries.get(number)[1][::-1]
    except DeliveryNotFound:  # deleted meanwhile
        return ()
