"""Reads the forms of the inbox page."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from flask import request
from marshmallow import Schema
from werkzeug.datastructures import MultiDict

from app.errors import BadRequest, UnsupportedMediaType
from app.intake.read import read_chunks
from app.web.parameters import load
from app.web.request_context import current_request

MOST_FORM_BYTES = 16 * 1024
MOST_FIELDS = 20


def load_form(schema: Schema) -> Mapping[str, Any]:
    """Return the fields of the form in the body; empty ones count as absent.

    Raises BadRequest, UnsupportedMediaType, MessageTooLarge, RequestTimeout.
    """
    if request.mimetype != "application/x-www-form-urlencoded":
        raise UnsupportedMediaType("Send the form as application/x-www-form-urlencoded.")
    is_chunked = "Transfer-Encoding" in request.headers
    announced = None if is_chunked else request.content_length or 0
    stream = request.environ["wsgi.input"]
    chunks = read_chunks(stream, announced, MOST_FORM_BYTES, current_request().is_late)
    return load(schema, filled(_fields(b"".join(chunks))), "Some fields of the form are wrong.")


def filled(fields: MultiDict[str, str]) -> Mapping[str, str]:
    """Return the fields that aren't empty; raises BadRequest if one is given twice."""
    if any(len(values) > 1 for _, values in fields.lists()):
        raise BadRequest("Each field may be given only once.")
    return {name: value.strip() for name, value in fields.items() if value.strip()}


def _fields(body: bytes) -> MultiDict[str, str]:
    try:
        pairs = parse_qsl(body.decode("ascii"), errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise BadRequest("The form can't be read.") from error
    return MultiDict(pairs)
