"""Routes that list, pause, resume and test endpoints."""

from dataclasses import replace

from flask import Response, request

from app.auth.tokens import TokenKind
from app.deliveries.describe import describe_endpoint, describe_test
from app.deliveries.endpoint_status import (
    REQUESTED,
    EndpointStatus,
    configured_endpoint,
    endpoint_status,
    endpoint_statuses,
)
from app.deliveries.outcome import Outcome
from app.web.access import needs
from app.web.json_exchange import json_answer
from app.web.parameters import NoParameters, load_query
from app.web.private_routes import private_blueprint, refuse_body
from app.web.request_context import current_services, current_tester

MOST_TEST_SECONDS = 10
"""For tests through the API, which occupy a thread of the worker; the command waits longer."""

blueprint = private_blueprint("endpoints")

_NO_PARAMETERS = NoParameters()


@blueprint.get("/endpoints")
@needs(TokenKind.API)
def list_endpoints() -> Response:
    """List the configured endpoints, and former ones that still have deliveries.

    Returns:
    - 200: see app.deliveries.schemas
    - 400 `bad_request` for a parameter or a body
    - 401 `unauthorized` without a valid token
    - 403 `forbidden` with a bearer_token
    - 429 `rate_limited`
    - 503 `shutting_down`, `storage_unavailable`
    """
    load_query(_NO_PARAMETERS, request.args)
    services = current_services()
    statuses = endpoint_statuses(services.endpoints, services.store.deliveries)
    return json_answer({"endpoints": [describe_endpoint(each) for each in statuses]})


@blueprint.post("/endpoints/<name>/pause")
@needs(TokenKind.API)
def pause_endpoint(name: str) -> Response:
    """Stop deliveries to an endpoint until it is resumed; requests in flight are completed.

    Returns:
    - 200 with the endpoint
    - 400, 401, 403, 429, 503 as for the list
    - 404 `not_found` if no endpoint has this name
    """
    _known(name)
    current_services().store.deliveries.pause(name, REQUESTED)
    return json_answer(describe_endpoint(_status(name)))


@blueprint.post("/endpoints/<name>/resume")
@needs(TokenKind.API)
def resume_endpoint(name: str) -> Response:
    """End a pause, whatever its cause.

    Returns:
    - 200 with the endpoint
    - 400, 401, 403, 404, 429, 503 as for `pause`
    """
    _known(name)
    current_services().store.deliveries.resume(name)
    return json_answer(describe_endpoint(_status(name)))


@blueprint.post("/endpoints/<name>/test")
@needs(TokenKind.API)
def send_sample(name: str) -> Response:
    """Send a signed sample request to an endpoint, even if it is paused.

    Returns:
    - 200 with the result, also if the request failed
    - 400, 401, 403, 503 as for the list
    - 404 `not_found` if no endpoint with this name is configured
    - 429 `rate_limited`, also while this worker runs another test
    """
    load_query(_NO_PARAMETERS, request.args)
    refuse_body()
    return json_answer(describe_test(tested(name)))


def tested(name: str) -> Outcome:
    """Return the result of a sample request to an endpoint.

    Raises EndpointNotFound, RateLimited, StorageUnavailable.
    """
    endpoint = configured_endpoint(name, current_services().endpoints)
    quick = replace(endpoint, timeout=min(endpoint.timeout, MOST_TEST_SECONDS))
    return current_tester().test(quick)


def _known(name: str) -> None:
    """Refuse parameters, a body, and the name of an unknown endpoint."""
    load_query(_NO_PARAMETERS, request.args)
    refuse_body()
    _status(name)


def _status(name: str) -> EndpointStatus:
    services = current_services()
    return endpoint_status(name, services.endpoints, services.store.deliveries)
