"""Which route a request is for, as matched by the router; nothing else compares paths."""

from flask import Request, current_app
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import Rule


def matched_route(request: Request) -> Rule | None:
    """Return the route whose path a request has, whatever its method.

    None when no route has this path.
    """
    rule = request.url_rule
    if rule is not None:
        return rule
    error = request.routing_exception
    if not isinstance(error, MethodNotAllowed) or not error.valid_methods:
        return None
    adapter = current_app.create_url_adapter(request)
    if adapter is None:
        return None
    found, _ = adapter.match(method=next(iter(error.valid_methods)), return_rule=True)
    return found
