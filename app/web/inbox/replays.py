"""Replays: stored messages are delivered to an endpoint, again or for the first time."""

from typing import Any

from flask import Response, request

from app.deliveries.endpoint_status import configured_endpoint
from app.errors import BadRequest
from app.storage.delivery import Replay
from app.storage.interface import Query
from app.web.delivery_parameters import ReplayRequestSchema
from app.web.inbox import audit
from app.web.inbox.blueprint import blueprint
from app.web.inbox.form import filled, load_form
from app.web.inbox.guards import logged_in
from app.web.inbox.rendering import render, see_other
from app.web.parameters import NoParameters, load, load_query
from app.web.request_context import current_request, current_services

_RULE = "/inbox/endpoints/<name>/replay"
_SELECTION = ReplayRequestSchema(only=["since", "until", "recipient"])
_NO_PARAMETERS = NoParameters()
_WRONG = "Some fields of the replay are wrong."


@blueprint.get(_RULE)
@logged_in
def ask_for_replay(name: str) -> Response:
    """Ask which messages to replay, and then whether to replay as many as there are.

    Returns:
    - 200
    - 303 to the login page without a session
    - 400 `bad_request` for a field that is wrong
    - 403 `forbidden` for a host that isn't allowed
    - 404 `not_found` if no endpoint with this name is configured
    - 429 `rate_limited`
    - 503 `shutting_down`, `storage_unavailable`
    """
    configured_endpoint(name, current_services().endpoints)
    if not request.args:
        return _form(name, {})
    try:
        fields = filled(request.args)
        given = load(_SELECTION, fields, _WRONG)
    except BadRequest as error:
        return _refused(name, error)
    query = Query(given.get("recipient"), given["since"], given.get("until"))
    return _form(name, fields, count=current_services().store.count(query))


@blueprint.post(_RULE)
@logged_in
def replay(name: str) -> Response:
    """Start a replay.

    Returns:
    - 303 to the endpoints, or to the login page without a session
    - 400, 403, 404, 429, 503 as for the question; 403 also for a request from another site
    - 415 `unsupported_media_type` if it isn't a form
    """
    load_query(_NO_PARAMETERS, request.args)
    services = current_services()
    configured_endpoint(name, services.endpoints)
    given = load_form(_SELECTION)
    services.store.deliveries.add_replay(
        Replay(name, given["since"], given.get("until"), given.get("recipient"))
    )
    selected = {each: str(value) for each, value in given.items()}
    audit.note("Replay started on the inbox page", endpoint=name, **selected)
    return see_other("/inbox/endpoints?done=replayed")


def _form(name: str, fields: Any, status: int = 200, **values: Any) -> Response:
    more = {"count": None, "faults": ()} | values
    return render("replay.html", status, name=name, fields=fields, **more)


def _refused(name: str, error: BadRequest) -> Response:
    context = current_request()
    context.code, context.detail, context.faults = error.code, str(error), error.faults
    return _form(name, request.args.to_dict(), 400, faults=error.faults)
