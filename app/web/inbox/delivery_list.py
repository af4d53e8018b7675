"""The deliveries of all messages, by endpoint and state."""

from urllib.parse import urlencode

from flask import Response, request

from app.deliveries.delivery_id import delivery_id
from app.deliveries.reasons import meaning
from app.reading.cursor import make_cursor
from app.storage.delivery import DeliveryQuery, State
from app.web.delivery_parameters import DeliveryListParameters
from app.web.inbox.blueprint import blueprint
from app.web.inbox.form import filled
from app.web.inbox.guards import logged_in
from app.web.inbox.rendering import render
from app.web.paging import cursor_number
from app.web.parameters import load
from app.web.request_context import current_services

_PATH = "/inbox/deliveries"
_PARAMETERS = DeliveryListParameters(only=["endpoint", "state", "recipient", "before", "limit"])
_WRONG = "Some parameters in the query string are wrong."


@blueprint.get(_PATH)
@logged_in
def list_deliveries() -> Response:
    """Show deliveries, newest first.

    Returns:
    - 200
    - 303 to the login page without a session
    - 400 `bad_request` for a parameter that is unknown or wrong
    - 403 `forbidden` for a host that isn't allowed
    - 429 `rate_limited`
    - 503 `shutting_down`, `storage_unavailable`
    """
    fields = filled(request.args)
    given = load(_PARAMETERS, fields, _WRONG)
    services = current_services()
    identity = services.store.identity()
    query = DeliveryQuery(
        endpoint=given.get("endpoint"),
        state=State(given["state"]) if "state" in given else None,
        recipient=given.get("recipient"),
        before=cursor_number(given.get("before"), identity),
        limit=given["limit"],
    )
    page = services.store.deliveries.find(query)
    filters = {name: value for name, value in fields.items() if name != "before"}
    older = None
    if page.has_more and page.position is not None:
        cursor = make_cursor(identity, page.position)
        older = f"{_PATH}?{urlencode({**filters, 'before': cursor})}"
    return render(
        "deliveries.html",
        deliveries=page.deliveries,
        delivery_id=delivery_id,
        meaning=meaning,
        filters=filters,
        states=list(State),
        older=older,
    )
