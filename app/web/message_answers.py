"""What the routes of single messages have in common: ids and ETags."""

import re

from flask import Response, request

from app.errors import MessageNotFound
from app.storage.ids import ID_PATTERN

_ID = re.compile(ID_PATTERN)


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
