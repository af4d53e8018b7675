"""The endpoints: what they are doing, and pausing, resuming and testing them."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Response, request

from app.deliveries.advice import advice
from app.deliveries.endpoint_status import (
    REQUESTED,
    EndpointStatus,
    endpoint_status,
    endpoint_statuses,
)
from app.deliveries.reasons import meaning
from app.inbox.last_failure import Failure, last_failure
from app.settings.webhook_url import shown_url
from app.web.endpoints import tested
from app.web.inbox import audit
from app.web.inbox.blueprint import blueprint
from app.web.inbox.guards import logged_in
from app.web.inbox.notices import NOTICES, PageParameters
from app.web.inbox.rendering import render, see_other
from app.web.parameters import NoParameters, load_query
from app.web.request_context import current_services

_PATH = "/inbox/endpoints"
_PARAMETERS = PageParameters()
_NO_PARAMETERS = NoParameters()


@dataclass(frozen=True)
class ShownEndpoint:
    """An endpoint as its page shows it; `reason` is a sentence, None if it works."""

    status: EndpointStatus
    url: str | None
    reason: str | None
    failure: Failure | None


@blueprint.get(_PATH)
@logged_in
def list_endpoints() -> Response:
    """Show the endpoints, and former ones that still have deliveries.

    Returns:
    - 200
    - 303 to the login page without a session
    - 400 `bad_request` for a parameter that is unknown or wrong
    - 403 `forbidden` for a host that isn't allowed
    - 429 `rate_limited`
    - 503 `shutting_down`, `storage_unavailable`
    """
    given = load_query(_PARAMETERS, request.args)
    notice = NOTICES.get(given.get("done", ""))
    return render("endpoints.html", endpoints=_endpoints(), meaning=meaning, notice=notice)


@blueprint.post(f"{_PATH}/<name>/pause")
@logged_in
def pause_endpoint(name: str) -> Response:
    """Stop deliveries to an endpoint until it is resumed.

    Returns:
    - 303 to the endpoints, or to the login page without a session
    - 400, 403, 429, 503 as for the endpoints; 403 also for a request from another site
    - 404 `not_found` if no endpoint has this name
    """
    _known(name)
    current_services().store.deliveries.pause(name, REQUESTED)
    audit.note("Endpoint paused on the inbox page", endpoint=name)
    return see_other(f"{_PATH}?done=paused")


@blueprint.post(f"{_PATH}/<name>/resume")
@logged_in
def resume_endpoint(name: str) -> Response:
    """End a pause, whatever its cause.

    Returns:
    - 303, 400, 403, 404, 429, 503 as for `pause`
    """
    _known(name)
    current_services().store.deliveries.resume(name)
    audit.note("Endpoint resumed on the inbox page", endpoint=name)
    return see_other(f"{_PATH}?done=resumed")


@blueprint.post(f"{_PATH}/<name>/test")
@logged_in
def send_sample(name: str) -> Response:
    """Send a signed sample to an endpoint, and show what came of it.

    Returns:
    - 200, also if the sample failed
    - 303, 400, 403, 404, 503 as for `pause`
    - 429 `rate_limited`, also while this worker runs another test
    """
    load_query(_NO_PARAMETERS, request.args)
    outcome = tested(name)
    services = current_services()
    status = endpoint_status(name, services.endpoints, services.store.deliveries)
    audit.note("Endpoint tested on the inbox page", endpoint=name)
    return render(
        "endpoint_test.html",
        name=name,
        outcome=outcome,
        state=status.state,
        reason=meaning(outcome.reason),
        advice=advice(outcome),
    )


def _known(name: str) -> None:
    load_query(_NO_PARAMETERS, request.args)
    services = current_services()
    endpoint_status(name, services.endpoints, services.store.deliveries)


def _endpoints() -> Sequence[ShownEndpoint]:
    services = current_services()
    queue = services.store.deliveries
    return [
        ShownEndpoint(
            status=each,
            url=shown_url(each.endpoint.url) if each.endpoint else None,
            reason=meaning(each.reason),
            failure=last_failure(queue, each.name),
        )
        for each in endpoint_statuses(services.endpoints, queue)
    ]
