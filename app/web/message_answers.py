"""What the routes of messages have in common: checks of the request, caching, and ETags."""

import re
from urllib.parse import unquote_to_bytes

from flask import Response, request

from app.auth.tokens import TokenKind
from app.errors import BadRequest, MessageNotFound
from app.storage.ids import ID_PATTERN
from app.web.request_context import current_request

_WITHOUT_BODY = {"GET", "HEAD", "DELETE"}
_ID = re.compile(ID_PATTERN)


def check_request() -> None:
    """Raise BadRequest for what would be ignored, or taken for something else.

    That is a body where the method takes none, and parameters that are not UTF-8.
    """
    try:
        unquote_to_bytes(request.query_string).decode()
    except UnicodeDecodeError as error:
        raise BadRequest("The query string is not UTF-8.") from error
    has_body = request.content_length or "Transfer-Encoding" in request.headers
    if has_body and request.method in _WITHOUT_BODY:
        raise BadRequest(
            f"{request.method} takes no body here: put parameters in the query string."
        )


def keep_private(answer: Response) -> Response:
    """Forbid shared caches to store the API's answers; let the client's own revalidate them."""
    if current_request().needed_kind is TokenKind.API:
        answer.headers["Cache-Control"] = "private, no-cache"
    return answer


def checked_id(message_id: str) -> str:
    """Return `message_id`; raises MessageNotFound if it isn't in the form of an id."""
    if not _ID.fullmatch(message_id):
        raise MessageNotFound("No message has this id.")
    return message_id


def client_has(etag: str) -> bool:
    """Return whether the request's If-None-Match has `etag`, given with its quotation marks."""
    return request.if_none_match.contains_weak(etag.strip('"'))


def not_modified(etag: str) -> Response:
    """Return the answer 304 with this ETag."""
    answer = Response(status=304)
    answer.headers["ETag"] = etag
    return answer
