"""Begins each request: its context, with its id, which is on its answer and in its log lines."""

import random
import re
from collections.abc import Callable, Mapping
from typing import Any

from flask import Request, Response

from app import logs
from app.web import request_context
from app.web.access import is_page, is_public, needed_kind
from app.web.matched_route import matched_route
from app.web.request_context import RequestContext, current_request

_SANE_REQUEST_ID = re.compile(r"[\x20-\x7e]{1,128}")


def begin(request: Request, views: Mapping[str, Callable[..., Any]]) -> RequestContext:
    """Return the request's context, which knows its route and its id.

    `views` are those of the application, by the names of their endpoints.
    """
    if not request_context.is_set():
        request_context.set_current(RequestContext())
    context = current_request()
    route = matched_route(request)
    if route is not None:
        view = views[route.endpoint]
        context.rule, context.is_public = route.rule, is_public(view)
        context.needed_kind = needed_kind(view)
        context.is_page = is_page(view)
    context.request_id = _request_id(request.environ.get("HTTP_X_REQUEST_ID", ""))
    logs.request_id.set(context.request_id)
    return context


def add_header(context: RequestContext, answer: Response) -> None:
    """Tell the client the id of its request."""
    answer.headers["X-Request-ID"] = context.request_id


def end(_error: BaseException | None) -> None:
    """Drop the context, last of all."""
    logs.request_id.set(None)
    request_context.clear_current()


def _request_id(given: str) -> str:
    # Not a secret, so no system call is needed; Gunicorn reseeds each worker.
    return given if _SANE_REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
