"""Answers requests that can't be parsed, with a problem document like all other errors."""

import json
from typing import Any

from gunicorn.http.errors import (
    ExpectationFailed,
    InvalidHeader,
    InvalidHTTPVersion,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)

from app.errors import ERRORS
from app.server.gunicorn_internals.arrival import HELD_BYTES
from app.web.problem_document import problem_document


def refusal_of(error: BaseException, limits: Any) -> tuple[str, str]:
    """Return code and detail for an exception of Gunicorn's; `limits` are its settings."""
    if isinstance(error, UnsupportedTransferCoding) or _is_about_coding(error):
        detail = "Only chunked is supported as Transfer-Encoding, and only with HTTP/1.1."
        return "unsupported_media_type", detail
    if isinstance(error, ParseException):
        return "bad_request", _detail_of(error, limits)
    return "internal_error", ERRORS["internal_error"].meaning


def raw_problem(code: str, detail: str, request_id: str) -> bytes:
    """Return an answer after which the connection is closed."""
    document = problem_document(code, detail, request_id)
    body = json.dumps(document)
    head = [
        f"HTTP/1.1 {document['status']} {document['title']}",
        "Connection: close",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        f"X-Request-ID: {request_id}",
    ]
    return "\r\n".join([*head, "", body]).encode()


def _is_about_coding(error: BaseException) -> bool:
    return isinstance(error, InvalidHeader) and error.hdr == "TRANSFER-ENCODING"


def _detail_of(error: ParseException, limits: Any) -> str:
    if isinstance(error, LimitRequestLine):
        return f"The request line is too long (allowed: {limits.limit_request_line} bytes)."
    if isinstance(error, LimitRequestHeaders):
        return (
            "The headers are too large (allowed:"
            f" {limits.limit_request_fields} header fields"
            f" of {limits.limit_request_field_size} bytes each, {HELD_BYTES} bytes in all)."
        )
    if isinstance(error, ExpectationFailed):
        return "This value of Expect is not supported: only 100-continue is."
    if isinstance(error, InvalidHTTPVersion):
        return "This version of HTTP is not supported: use HTTP/1.1."
    return "The request is not valid HTTP/1.1."
