"""What Flask calls before and after each request: every part of it, in order.

It is one pair of functions that pass the request on. Flask takes ten calls to prepare each function
that it calls, and three more for each look at its current request.
"""

from flask import Flask, Response

from app.services import Services
from app.web import access, private_routes
from app.web.hooks import counts, log_line, rate_limit, request_id, shutting_down, write_deadline
from app.web.inbox.page_headers import add_page_headers
from app.web.request_context import current_request, flask_request


def register(app: Flask, services: Services) -> None:
    """Add them to `app`, whose routes must all be registered."""
    recorder = services.recorder
    if recorder is not None:
        counts.know_routes(app, recorder)

    @app.before_request
    def before() -> None:
        current = flask_request()
        context = request_id.begin(current, app.view_functions)
        shutting_down.refuse_if_draining(context)
        # Before the token is looked at, so that guessing tokens is limited, too.
        rate_limit.take_token(context, current.environ, services)
        # Without a route there is nothing to protect: 404 or 405 follows.
        if current.url_rule is not None:
            view = app.view_functions[current.url_rule.endpoint]
            access.require_token(context, current, view, services.tokens)

    @app.after_request
    def after(answer: Response) -> Response:
        current, context = flask_request(), current_request()
        if recorder is not None:
            counts.count(recorder, context, current.environ["REQUEST_METHOD"], answer)
        private_routes.keep_private(context, answer)
        if services.inbox is not None:
            add_page_headers(context, current, answer)
        rate_limit.add_headers(context, services, answer)
        write_deadline.begin_answer(context, services.write_timeout)
        log_line.log_request(context, current, answer)
        request_id.add_header(context, answer)
        return answer

    app.teardown_request(request_id.end)
