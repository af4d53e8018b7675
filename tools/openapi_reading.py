"""The paths of the OpenAPI document that list, read and delete messages."""

from typing import Any

from openapi_answers import (
    LIMIT_HEADERS,
    answer,
    bytes_answer,
    empty_answer,
    problem,
    reference,
)
from openapi_operations import (
    BODY_FAILURES,
    HEADERS,
    NOT_FOUND,
    Operations,
    get,
    in_header,
    in_path,
    operation,
    with_body,
)

from app.web.message_content import SHOWN_TYPES
from app.web.message_parameters import ListParameters

_WITH_ETAG = [*HEADERS, "ETag"]
_HARMLESS = ["Content-Disposition", "X-Content-Type-Options", "Content-Security-Policy"]
_RAW = [*_WITH_ETAG, "Accept-Ranges", "Repr-Digest", *_HARMLESS]
_TYPES = sorted({*SHOWN_TYPES, "application/octet-stream"})
_NOT_MODIFIED = {"304": empty_answer("If-None-Match has the current ETag", _WITH_ETAG)}


def reading_paths() -> dict[str, Operations]:
    """Return the operations of each path, except OPTIONS."""
    return {
        "/messages": get(_list()),
        "/messages/delete": {"post": _delete_many()},
        "/messages/{id}": get(_show()) | {"delete": _delete()},
        "/messages/{id}/raw": get(_raw()),
        "/messages/{id}/parts/{part}": get(_part()),
    }


def _list() -> dict[str, Any]:
    page = answer("MessagePage", "A page of messages", [*HEADERS, "Link"])
    page["headers"]["Retry-After"] = reference("headers", "Try-Later")
    return operation(
        "listMessages",
        "List messages, a page at a time, or wait for new ones",
        {"200": page},
        [{"in": "query", "schema": ListParameters}],
    )


def _show() -> dict[str, Any]:
    message = answer("Message", "The message, decoded", _WITH_ETAG)
    return operation(
        "showMessage",
        "Show one message, decoded",
        {"200": message} | _NOT_MODIFIED | NOT_FOUND,
        [in_path("id"), in_header("If-None-Match", "The ETag of an earlier answer.")],
    )


def _delete() -> dict[str, Any]:
    answers = {"204": empty_answer("Deleted permanently", HEADERS)} | NOT_FOUND
    return operation("deleteMessage", "Delete one message", answers, [in_path("id")])


def _delete_many() -> dict[str, Any]:
    answers = {"200": answer("DeletionResults", "Whether each of them was deleted", HEADERS)}
    deletion = operation("deleteMessages", "Delete up to 500 messages", answers | BODY_FAILURES)
    return with_body(deletion, "MessageIds")


def _raw() -> dict[str, Any]:
    answers = {
        "200": bytes_answer("The bytes as they were received", _RAW, ["message/rfc822"]),
        "206": bytes_answer("The requested range", [*_RAW, "Content-Range"], ["message/rfc822"]),
        "416": problem("range_not_satisfiable", headers=[*LIMIT_HEADERS, "Content-Range"]),
    }
    conditions = [
        in_header("If-None-Match", "The ETag of an earlier answer."),
        in_header("Range", "One range, such as bytes=0-1023."),
        in_header("If-Range", "An ETag; if it isn't the current one, Range is ignored."),
    ]
    return operation(
        "rawMessage",
        "Return a message as it was received",
        answers | _NOT_MODIFIED | NOT_FOUND,
        [in_path("id"), *conditions],
    )


def _part() -> dict[str, Any]:
    part = bytes_answer("The part, decoded", [*_WITH_ETAG, *_HARMLESS], _TYPES)
    return operation(
        "messagePart",
        "Return one part of a message, decoded",
        {"200": part} | _NOT_MODIFIED | NOT_FOUND,
        [
            in_path("id"),
            in_path("part"),
            in_header("If-None-Match", "The ETag of an earlier answer."),
        ],
    )
