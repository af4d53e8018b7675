"""The route that returns the HTML of a message as a document of its own."""

from contextlib import ExitStack

from flask import Response, request
from marshmallow import fields, validate

from app.errors import MessageNotFound
from app.inbox.html_view import html_document, security_policy
from app.web.inbox.blueprint import blueprint
from app.web.inbox.guards import logged_in
from app.web.message_answers import checked_id
from app.web.parameters import NoParameters, load_query
from app.web.request_context import current_reader


class _HtmlParameters(NoParameters):
    """Whether remote pictures are loaded this time."""

    remote = fields.String(validate=validate.Equal("1"))


_PARAMETERS = _HtmlParameters()


@blueprint.get("/inbox/<id>/html")
@logged_in
def show_html(id: str) -> Response:  # noqa: A002 -- the name in the rule, metrics and docs
    """Return the HTML of a message, safe in a browser; with `remote=1`, remote pictures are loaded.

    Returns:
    - 200, also if there is too much HTML, when it only says so
    - 303 to the login page without a session
    - 400 `bad_request` for a parameter that is unknown or wrong
    - 403 `forbidden` for a host that isn't allowed
    - 404 `not_found` if no message has this id, or the message has no HTML
    - 429 `rate_limited`
    - 500 `internal_error` if the bytes of the message are damaged
    - 503 `shutting_down`, `storage_unavailable`
    """
    given = load_query(_PARAMETERS, request.args)
    stored = current_reader().stored(checked_id(id))
    with ExitStack() as held:
        document = held.enter_context(current_reader().decoded(stored, html_document))
        if document is None:
            raise MessageNotFound("The message has no HTML.")
        answer = Response(document, content_type="text/html; charset=utf-8")
        answer.call_on_close(held.pop_all().close)  # after it has been sent
    policy = security_policy(with_remote_pictures="remote" in given)
    answer.headers["Content-Security-Policy"] = policy
    answer.headers["Referrer-Policy"] = "no-referrer"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["X-DNS-Prefetch-Control"] = "off"  # else links tell a name server what is read
    return answer
