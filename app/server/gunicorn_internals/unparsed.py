"""Answers to what never becomes a request, in the same words and form as all others."""

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

from app.web.problem_document import problem_document


def refusal_of(error: BaseException, limits: Any) -> tuple[str, str]:
    """Return code and detail for what Gunicorn has raised; `limits` are its settings."""
    if isinstance(error, UnsupportedTransferCoding) or _is_about_coding(error):
        detail = "This Transfer-Encoding is not supported: only chunked is, with HTTP/1.1."
        return "unsupported_media_type", detail
    if isinstance(error, ParseException):
        return "bad_request", _detail_of(error, limits)
    return "internal_error", "Something failed in the server."


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
            "There is too much in the head (allowed:"
            f" {limits.limit_request_fields} header fields"
            f" of {limits.limit_request_field_size} bytes each)."
        )
    if isinstance(error, ExpectationFailed):
        return "This Expect is not supported: only 100-continue is."
    if isinstance(error, InvalidHTTPVersion):
        return "This version of HTTP is not supported: use HTTP/1.1."
    return "The request is not framed as HTTP/1.1 requires."
