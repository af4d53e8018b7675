"""Routes that list, show and delete stored messages."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from app.auth.tokens import TokenKind
from app.errors import MessageNotFound, UnsupportedMediaType
from app.intake.json_object import decode_object
from app.intake.read import read_chunks
from app.reading.cursor import make_cursor, parse_cursor
from app.reading.describe import describe, summarize
from app.reading.reader import Waited
from app.storage.interface import Page, Query
from app.storage.message import Reason
from app.version import __version__
from app.web.access import needs
from app.web.message_answers import (
    check_request,
    checked_id,
    client_has,
    keep_private,
    not_modified,
)
from app.web.message_parameters import (
    ListParameters,
    MessageIdsSchema,
    NoParameters,
    load,
    load_query,
)
from app.web.request_context import current_reader, current_request, current_services

MOST_BODY_BYTES = 1024 * 1024
"""Many more than 500 ids have: a list that is too long is to be refused as such."""
RETRY_AFTER_SECONDS = 1
"""Tells a client to try again after it couldn't wait because too many requests do."""

blueprint = Blueprint("messages", __name__)
blueprint.before_request(check_request)
blueprint.after_app_request(keep_private)  # also when no method matches

_LIST_PARAMETERS = ListParameters()
_NO_PARAMETERS = NoParameters()
_IDS = MessageIdsSchema()
_CURSORS = {"after", "before"}


@blueprint.get("/messages")
@needs(TokenKind.API)
def list_messages() -> Response:
    """List stored messages, a page at a time.

    Returns:
    - 200: `next` is the cursor of the next page, and `Link` its URL. With `after` there always is
      one, for messages that arrive later
    - 400 `bad_request` for a parameter that is unknown, wrong or given twice, for a cursor from
      another store, and for a body
    - 401 `unauthorized` without a valid token
    - 403 `forbidden` with a bearer_token
    - 429 `rate_limited`
    - 503 `shutting_down`, `storage_unavailable`
    """
    given = load_query(_LIST_PARAMETERS, request.args)
    identity = current_services().store.identity()
    query = _query(given, identity)
    waited = current_reader().wait(query, given["wait"])
    return _listed(waited, query, identity)


@blueprint.get("/messages/<id>")
@needs(TokenKind.API)
def show_message(id: str) -> Response:  # noqa: A002 -- the name in the rule, metrics and docs
    """Show one message, decoded; see app.reading.schemas.

    Returns:
    - 200
    - 304 if `If-None-Match` has the ETag
    - 400, 401, 403, 429, 503 as for the list
    - 404 `not_found` if no message has this id
    - 500 `internal_error` if the bytes of the message are damaged
    """
    load_query(_NO_PARAMETERS, request.args)
    stored = current_reader().stored(checked_id(id))
    # Another version of GoMail may decode the message differently.
    etag = f'"{stored.sha256.hex()}-{__version__}"'
    if client_has(etag):
        return not_modified(etag)
    answer = _json(describe(stored, current_reader().parsed(stored.message_id)))
    answer.headers["ETag"] = etag
    return answer


@blueprint.delete("/messages/<id>")
@needs(TokenKind.API)
def delete_message(id: str) -> Response:  # noqa: A002
    """Delete one message permanently.

    Returns:
    - 204: the message can't be read any more; its bytes are erased within a minute
    - 400, 401, 403, 429, 503 as for the list
    - 404 `not_found` if no message has this id, or it was already deleted
    """
    load_query(_NO_PARAMETERS, request.args)
    if not current_services().store.remove([checked_id(id)], Reason.REQUEST):
        raise MessageNotFound("No message has this id.")
    answer = Response(status=204)
    del answer.headers["Content-Type"]
    return answer


@blueprint.post("/messages/delete")
@needs(TokenKind.API)
def delete_messages() -> Response:
    """Delete up to 500 messages permanently.

    Returns:
    - 200: for each id, in the order given, whether a message was deleted
    - 400 `bad_request` if the body is anything but a list of 1 to 500 ids: nothing is deleted
    - 401, 403, 429, 503 as for the list
    - 408 `timeout` if the body arrives too slowly, 413 `message_too_large` if it exceeds 1 MiB
    - 415 `unsupported_media_type` if it isn't declared as application/json
    """
    load_query(_NO_PARAMETERS, request.args)
    ids = load(_IDS, decode_object(_body()), 'The body must be {"ids": [ID, …]}.')["ids"]
    deleted = set(current_services().store.remove(ids, Reason.REQUEST))
    return _json({"results": [{"id": each, "deleted": each in deleted} for each in ids]})


def _query(given: Mapping[str, Any], identity: bytes) -> Query:
    header_message_id = given.get("header_message_id")
    sender = given.get("sender")
    return Query(
        recipient=given.get("recipient"),
        since=given.get("since"),
        until=given.get("until"),
        limit=given["limit"],
        oldest_first="after" in given,
        after=parse_cursor(given["after"], identity) if given.get("after") else None,
        before=parse_cursor(given["before"], identity) if given.get("before") else None,
        sender="" if sender == "<>" else sender,
        subject=given.get("subject"),
        queue_id=given.get("queue_id"),
        header_message_id=header_message_id and header_message_id.strip(" <>"),
    )


def _listed(waited: Waited, query: Query, identity: bytes) -> Response:
    page = waited.page
    number = _next_number(page, query)
    cursor = None if number is None else make_cursor(identity, number)
    summaries = [summarize(each, make_cursor(identity, each.number)) for each in page.messages]
    answer = _json({"messages": summaries, "next": cursor, "has_more": page.has_more})
    if cursor is not None:
        answer.headers["Link"] = f'<{_next_url(query, cursor)}>; rel="next"'
    if waited.was_refused:
        answer.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return answer


def _next_number(page: Page, query: Query) -> int | None:
    if query.oldest_first:
        return page.position if page.position is not None else query.after or 0
    return page.position if page.has_more else None


def _next_url(query: Query, cursor: str) -> str:
    others = [(name, value) for name, value in request.args.items() if name not in _CURSORS]
    position = ("after" if query.oldest_first else "before", cursor)
    return f"/messages?{urlencode([*others, position])}"


def _body() -> bytes:
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send the ids as application/json.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Content-Encoding is not supported: send the bytes as they are.")
    is_chunked = "Transfer-Encoding" in request.headers
    announced = None if is_chunked else request.content_length or 0
    stream = request.environ["wsgi.input"]
    return b"".join(read_chunks(stream, announced, MOST_BODY_BYTES, current_request().is_late))


def _json(document: Mapping[str, Any]) -> Response:
    return Response(json.dumps(document), content_type="application/json")
