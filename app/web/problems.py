"""Turns every error into an answer: a problem document (RFC 9457), or a page for people."""

import json
import logging
import math
from collections.abc import Sequence

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from app.errors import (
    ERRORS,
    BadRequest,
    FieldFault,
    GoMailError,
    RangeNotSatisfiable,
    RateLimited,
    ShuttingDown,
    StorageUnavailable,
)
from app.web.inbox.error_page import error_page
from app.web.problem_document import problem_document
from app.web.request_context import current_request
from app.web.schemas import ProblemSchema

_CODE_OF_STATUS = {404: "not_found", 405: "method_not_allowed"}
_SCHEMA = ProblemSchema()
_log = logging.getLogger(__name__)


def register(app: Flask) -> None:
    """Answer every error of `app` with a problem document, or a page where people read it."""
    app.register_error_handler(GoMailError, _answer_error)
    app.register_error_handler(HTTPException, _answer_http_exception)
    app.register_error_handler(Exception, _answer_unexpected)


def problem(code: str, detail: str, faults: Sequence[FieldFault] = ()) -> Response:
    """Return the answer for `code`, one of ERRORS."""
    context = current_request()
    context.code, context.detail, context.faults = code, detail, faults
    document = problem_document(code, detail, context.request_id, faults)
    if context.is_page:
        return error_page(document)
    return Response(
        json.dumps(_SCHEMA.dump(document)),
        status=document["status"],
        content_type="application/problem+json",
    )


def _answer_error(error: GoMailError) -> Response:
    if ERRORS[error.code].status >= 500 and not isinstance(error, ShuttingDown):
        # The reason is also in the traceback, of which a line has only the two ends.
        reason = None if error.__cause__ is None else str(error.__cause__)
        members = {"code": error.code, "reason": reason}
        _log.error("%s", error, exc_info=error, extra=members)
    if error.code == "internal_error":
        return problem(error.code, ERRORS[error.code].meaning)
    faults = error.faults if isinstance(error, BadRequest) else ()
    answer = problem(error.code, str(error), faults)
    if error.code == "unauthorized":
        answer.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RangeNotSatisfiable):
        answer.headers["Content-Range"] = f"bytes */{error.size}"
    if isinstance(error, RateLimited | ShuttingDown | StorageUnavailable):
        answer.headers["Retry-After"] = str(math.ceil(error.retry_after_seconds))
    return answer


def _answer_http_exception(error: HTTPException) -> Response:
    status = error.code or 500
    code = _CODE_OF_STATUS.get(status, "bad_request" if status < 500 else "internal_error")
    detail = ERRORS[code].meaning
    if code == "not_found" and _is_route_with_slash():
        detail = "There is nothing at this path. Remove the slash at its end."
    answer = problem(code, detail)
    if isinstance(error, MethodNotAllowed) and error.valid_methods is not None:
        answer.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return answer


def _is_route_with_slash() -> bool:
    path, adapter = request.path, current_app.create_url_adapter(request)
    if adapter is None or not path.endswith("/"):
        return False
    return bool(adapter.allowed_methods(path.rstrip("/")))


def _answer_unexpected(error: Exception) -> Response:
    _log.error("Unexpected failure", exc_info=error, extra={"code": "internal_error"})
    return problem("internal_error", ERRORS["internal_error"].meaning)
