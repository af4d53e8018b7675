"""Which route a request is for: what the router has matched, never a path compared beside it."""

from flask import current_app, request
from werkzeug.exceptions import MethodNotAllowed

from app.metrics.recorder import UNMATCHED


def matched_rule() -> str:
    """Return the rule of the current request's route, such as `/mail/inbound`.

    A path that has no such method is that of the methods it has; UNMATCHED when there is no route.
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
