"""Routes that list, show and delete stored messages."""

from flask import Response, request

from app.auth.tokens import TokenKind
from app.errors import MessageNotFound
from app.reading.cursor import make_cursor
from app.reading.describe import describe, summarize
from app.reading.reader import Waited
from app.storage.interface import Query
from app.storage.message import Reason
from app.version import __version__
from app.web.access import needs
from app.web.json_exchange import json_answer, json_body
from app.web.message_answers import checked_id, client_has, not_modified
from app.web.message_parameters import ListParameters, MessageIdsSchema
from app.web.message_query import message_query
from app.web.paging import link, next_cursor, next_number
from app.web.parameters import NoParameters, load, load_query
from app.web.private_routes import private_blueprint
from app.web.request_context import current_reader, current_services

RETRY_AFTER_SECONDS = 1
"""Tells a client to try again after it couldn't wait because too many requests do."""

blueprint = private_blueprint("messages")

_LIST_PARAMETERS = ListParameters()
_NO_PARAMETERS = NoParameters()
_IDS = MessageIdsSchema()


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
    query = message_query(given, identity)
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
    stored, parsed = current_reader().found(checked_id(id))
    # Another version of GoMail may decode the message differently.
    etag = f'"{stored.sha256.hex()}-{__version__}"'
    if client_has(etag):
        return not_modified(etag)
    answer = json_answer(describe(stored, parsed()))
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
    ids = load(_IDS, json_body("the ids"), 'The body must be {"ids": [ID, …]}.')["ids"]
    deleted = set(current_services().store.remove(ids, Reason.REQUEST))
    return json_answer({"results": [{"id": each, "deleted": each in deleted} for each in ids]})


def _listed(waited: Waited, query: Query, identity: bytes) -> Response:
    page, oldest_first = waited.page, query.oldest_first
    number = next_number(
        page.position, query.after, oldest_first=oldest_first, has_more=page.has_more
    )
    cursor = next_cursor(number, identity)
    summaries = [summarize(each, make_cursor(identity, each.number)) for each in page.messages]
    answer = json_answer({"messages": summaries, "next": cursor, "has_more": page.has_more})
    if waited.was_refused:
        answer.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return link(answer, "/messages", cursor, oldest_first=oldest_first)
