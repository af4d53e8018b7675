"""The overview."""

from flask import Response, request

from app.inbox.overview import overview
from app.web.inbox.blueprint import blueprint
from app.web.inbox.guards import logged_in
from app.web.inbox.rendering import render
from app.web.parameters import NoParameters, load_query
from app.web.request_context import current_inbox, current_services

_NO_PARAMETERS = NoParameters()


@blueprint.get("/inbox/overview")
@logged_in
def show_overview() -> Response:
    """Show the messages an hour, what waits for endpoints, and the disk.

    Returns:
    - 200
    - 303 to the login page without a session
    - 400 `bad_request` for a parameter
    - 403 `forbidden` for a host that isn't allowed
    - 429 `rate_limited`
    - 503 `shutting_down`, `storage_unavailable`
    """
    load_query(_NO_PARAMETERS, request.args)
    services = current_services()
    figures = overview(services.store, current_inbox().data_dir, services.clock())
    return render("overview.html", figures=figures, has_endpoints=bool(services.endpoints))
