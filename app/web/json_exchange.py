"""Reads JSON bodies of API requests, and makes JSON answers."""

import json
from collections.abc import Mapping
from typing import Any

from flask import Response, request

from app.errors import UnsupportedMediaType
from app.intake.json_object import decode_object
from app.intake.read import read_chunks
from app.web.request_context import current_request

MOST_BODY_BYTES = 1024 * 1024
"""Many more than 500 ids need, so that a list that is too long is refused as such."""


def json_body(what: str) -> dict[str, Any]:
    """Return the JSON object in the body; `what` names it in the text of a refusal.

    Raises BadRequest, UnsupportedMediaType, MessageTooLarge, RequestTimeout.
    """
    if request.mimetype != "application/json":
        raise UnsupportedMediaType(f"Send {what} as application/json.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Content-Encoding is not supported: send the bytes as they are.")
    is_chunked = "Transfer-Encoding" in request.headers
    announced = None if is_chunked else request.content_length or 0
    stream = request.environ["wsgi.input"]
    chunks = read_chunks(stream, announced, MOST_BODY_BYTES, current_request().is_late)
    return decode_object(b"".join(chunks))


def json_answer(document: Mapping[str, Any], status: int = 200) -> Response:
    """Return an answer with `document` as JSON."""
    return Response(json.dumps(document), status=status, content_type="application/json")
