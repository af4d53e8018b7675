"""Which route a request is for, as matched by the router; nothing else compares paths."""

from flask import current_app, request
from werkzeug.exceptions import MethodNotAllowed

from app.metrics.recorder import UNMATCHED


def matched_rule() -> str:
    """Return the rule of the current request's route, such as `/mail/inbound`.

    Also when the route exists but not for this method; UNMATCHED when there is no such route.
    """
    rule = request.url_rule
    if rule is not None:
        return rule.rule
    error = request.routing_exception
    if not isinstance(error, MethodNotAllowed) or not error.valid_methods:
        return UNMATCHED
    adapter = current_app.create_url_adapter(request)
    if adapter is None:
        return UNMATCHED
    rule, _ = adapter.match(method=next(iter(error.valid_methods)), return_rule=True)
    return rule.rule
