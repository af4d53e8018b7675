"""The id of each request: on its answer, in its log lines, in the context of its other hooks."""

import random
import re

from flask import Flask, Response, request

from app import logs
from app.web import request_context
from app.web.access import is_page, is_public, needed_kind
from app.web.matched_route import matched_route
from app.web.request_context import RequestContext, current_request

_SANE_REQUEST_ID = re.compile(r"[\x20-\x7e]{1,128}")


def register(app: Flask) -> None:
    """Give each request of `app` its id; this hook runs first, and last."""
    app.before_request(_begin)
    app.after_request(_add_header)
    app.teardown_request(_end)


def _begin() -> None:
    if not request_context.is_set():
        request_context.set_current(RequestContext())
    context = current_request()
    route = matched_route()
    if route is not None:
        context.rule, context.is_public = route.rule, is_public(route.endpoint)
        context.needed_kind = needed_kind(route.endpoint)
        context.is_page = is_page(route.endpoint)
    context.request_id = _request_id(request.environ.get("HTTP_X_REQUEST_ID", ""))
    logs.request_id.set(context.request_id)


def _add_header(answer: Response) -> Response:
    answer.headers["X-Request-ID"] = current_request().request_id
    return answer


def _end(_error: BaseException | None) -> None:
    logs.request_id.set(None)
    request_context.clear_current()


def _request_id(given: str) -> str:
    # Not a secret, so no system call is needed; Gunicorn reseeds each worker.
    return given if _SANE_REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
