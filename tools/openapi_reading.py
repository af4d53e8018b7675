"""The paths of the OpenAPI document that list, read and delete messages."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from openapi_answers import (
    LIMIT_HEADERS,
    REQUEST_ID,
    answer,
    bytes_answer,
    empty_answer,
    problem,
    reference,
)

from app.web.message_content import SHOWN_TYPES
from app.web.message_parameters import ListParameters

# Without problems, since a request may be refused before it reaches the application.
_HEADERS = [*LIMIT_HEADERS, "Cache-Control"]
_WITH_ETAG = [*_HEADERS, "ETag"]
_HARMLESS = ["Content-Disposition", "X-Content-Type-Options", "Content-Security-Policy"]
_RAW = [*_WITH_ETAG, "Accept-Ranges", "Repr-Digest", *_HARMLESS]
_TYPES = sorted({*SHOWN_TYPES, "application/octet-stream"})
_NOT_FOUND = {"404": problem("not_found", headers=LIMIT_HEADERS)}
_NOT_MODIFIED = {"304": empty_answer("If-None-Match has the current ETag", _WITH_ETAG)}

Operations = dict[str, dict[str, Any]]


def reading_paths() -> dict[str, Operations]:
    """Return the operations of each path, except OPTIONS."""
    return {
        "/messages": _get(_list()),
        "/messages/delete": {"post": _delete_many()},
        "/messages/{id}": _get(_show()) | {"delete": _delete()},
        "/messages/{id}/raw": _get(_raw()),
        "/messages/{id}/parts/{part}": _get(_part()),
    }


def _list() -> dict[str, Any]:
    page = answer("MessagePage", "A page of messages", [*_HEADERS, "Link"])
    page["headers"]["Retry-After"] = reference("headers", "Try-Later")
    return _operation(
        "listMessages",
        "List messages, a page at a time, or wait for new ones",
        {"200": page},
        [{"in": "query", "schema": ListParameters}],
    )


def _show() -> dict[str, Any]:
    message = answer("Message", "The message, decoded", _WITH_ETAG)
    return _operation(
        "showMessage",
        "Show one message, decoded",
        {"200": message} | _NOT_MODIFIED | _NOT_FOUND,
        [_in_path("id"), _in_header("If-None-Match", "The ETag of an earlier answer.")],
    )


def _delete() -> dict[str, Any]:
    answers = {"204": empty_answer("Deleted permanently", _HEADERS)} | _NOT_FOUND
    return _operation("deleteMessage", "Delete one message", answers, [_in_path("id")])


def _delete_many() -> dict[str, Any]:
    answers = {
        "200": answer("DeletionResults", "Whether each of them was deleted", _HEADERS),
        "408": problem("timeout", headers=LIMIT_HEADERS),
        "413": problem("message_too_large", headers=LIMIT_HEADERS),
        "415": problem("unsupported_media_type", headers=LIMIT_HEADERS),
    }
    ids = {"application/json": {"schema": reference("schemas", "MessageIds")}}
    body = {"required": True, "content": ids}
    operation = _operation("deleteMessages", "Delete up to 500 messages", answers)
    return operation | {"requestBody": body}


def _raw() -> dict[str, Any]:
    answers = {
        "200": bytes_answer("The bytes as they were received", _RAW, ["message/rfc822"]),
        "206": bytes_answer("The requested range", [*_RAW, "Content-Range"], ["message/rfc822"]),
        "416": problem("range_not_satisfiable", headers=[*LIMIT_HEADERS, "Content-Range"]),
    }
    conditions = [
        _in_header("If-None-Match", "The ETag of an earlier answer."),
        _in_header("Range", "One range, such as bytes=0-1023."),
        _in_header("If-Range", "An ETag; if it isn't the current one, Range is ignored."),
    ]
    return _operation(
        "rawMessage",
        "Return a message as it was received",
        answers | _NOT_MODIFIED | _NOT_FOUND,
        [_in_path("id"), *conditions],
    )


def _part() -> dict[str, Any]:
    part = bytes_answer("The part, decoded", [*_WITH_ETAG, *_HARMLESS], _TYPES)
    return _operation(
        "messagePart",
        "Return one part of a message, decoded",
        {"200": part} | _NOT_MODIFIED | _NOT_FOUND,
        [
            _in_path("id"),
            _in_path("part"),
            _in_header("If-None-Match", "The ETag of an earlier answer."),
        ],
    )


def _get(operation: dict[str, Any]) -> Operations:
    answers = {
        status: each
        for status, each in operation["responses"].items()
        if status not in {"206", "416"}
    }
    head = operation | {
        "operationId": f"{operation['operationId']}Head",
        "parameters": deepcopy(operation["parameters"]),  # apispec changes them
        "responses": answers,
    }
    return {"get": operation, "head": head}


def _operation(
    name: str,
    summary: str,
    answers: Mapping[str, dict[str, Any]],
    parameters: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    failures = {
        "400": problem("bad_request", headers=LIMIT_HEADERS),
        "401": problem("unauthorized", headers=[*LIMIT_HEADERS, "WWW-Authenticate"]),
        "403": problem("forbidden", headers=LIMIT_HEADERS),
        "429": problem("rate_limited", headers=[*LIMIT_HEADERS, "Retry-After"]),
        "500": problem("internal_error", headers=LIMIT_HEADERS),
        "503": problem(
            "shutting_down", "storage_unavailable", headers=[*LIMIT_HEADERS, "Retry-After"]
        ),
    }
    return {
        "operationId": name,
        "summary": summary,
        "security": [{"api": []}],
        "parameters": [*parameters, REQUEST_ID],
        "responses": dict(sorted((dict(answers) | failures).items())),
    }


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _in_header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}
