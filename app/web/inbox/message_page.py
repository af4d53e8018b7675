"""One message: its views, its bytes, and its deletion."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, request
from marshmallow import fields, validate

from app.deliveries.schedule import MOST_ATTEMPTS
from app.errors import MessageCorrupt, MessageNotFound
from app.mime.message import ParsedMessage
from app.storage.message import Reason, StoredMessage
from app.web.inbox import audit
from app.web.inbox.blueprint import blueprint
from app.web.inbox.deliveries import message_deliveries, replay_urls
from app.web.inbox.guards import logged_in
from app.web.inbox.notices import NOTICES, PageParameters
from app.web.inbox.rendering import render, see_other
from app.web.message_answers import checked_id
from app.web.message_content import part_answer, raw_answer
from app.web.parameters import NoParameters, load_query
from app.web.request_context import current_reader, current_services

MOST_TEXT = 256 * 1024
"""In characters; longer texts are cut, and can be downloaded."""
MOST_SOURCE_BYTES = 256 * 1024
TABS: Mapping[str, str] = {
    "text": "Text",
    "html": "HTML",
    "headers": "Headers",
    "source": "Source",
    "attachments": "Attachments",
    "deliveries": "Deliveries",
}


class _MessageParameters(PageParameters):
    """The parameters of a message's page."""

    tab = fields.String(load_default="text", validate=validate.OneOf(list(TABS)))
    remote = fields.String(validate=validate.Equal("1"))


_PARAMETERS = _MessageParameters()
_NO_PARAMETERS = NoParameters()


@blueprint.get("/inbox/<id>")
@logged_in
def show_message(id: str) -> Response:  # noqa: A002 -- the name in the rule, metrics and docs
    """Show one message.

    Returns:
    - 200, also if the stored bytes are damaged: the page says so
    - 303 to the login page without a session
    - 400 `bad_request` for a parameter that is unknown or wrong
    - 403 `forbidden` for a host that isn't allowed
    - 404 `not_found` if no message has this id
    - 429 `rate_limited`
    - 503 `shutting_down`, `storage_unavailable`
    """
    given = load_query(_PARAMETERS, request.args)
    stored, parse = current_reader().found(checked_id(id))
    parsed = _unless_corrupt(parse)
    tab = given["tab"]
    more = {} if parsed is None and tab != "deliveries" else _MORE.get(tab, _nothing)(stored)
    return render(
        f"message_{tab}.html",
        message=stored,
        parsed=parsed,
        tab=tab,
        tabs=TABS,
        notice=NOTICES.get(given.get("done", "")),
        is_remote="remote" in given,
        most_text=MOST_TEXT,
        **more,
    )


@blueprint.get("/inbox/<id>/raw")
@logged_in
def download_message(id: str) -> Response:  # noqa: A002
    """Return the bytes as received, as a file; see GET /messages/<id>/raw.

    Returns:
    - 200, 206, 304, 400, 404, 416, 500 as there
    - 303, 403, 429, 503 as for the page
    """
    load_query(_NO_PARAMETERS, request.args)
    return raw_answer(id)


@blueprint.get("/inbox/<id>/parts/<part>")
@logged_in
def download_part(id: str, part: str) -> Response:  # noqa: A002
    """Return one part, as a file; see GET /messages/<id>/parts/<part>.

    Returns:
    - 200, 304, 400, 404, 500 as there
    - 303, 403, 429, 503 as for the page
    """
    load_query(_NO_PARAMETERS, request.args)
    return part_answer(id, part)


@blueprint.get("/inbox/<id>/delete")
@logged_in
def ask_before_deletion(id: str) -> Response:  # noqa: A002
    """Ask whether to delete a message.

    Returns:
    - 200, 303, 400, 403, 404, 429, 503 as for the page
    """
    load_query(_NO_PARAMETERS, request.args)
    return render("delete.html", message=current_reader().stored(checked_id(id)))


@blueprint.post("/inbox/<id>/delete")
@logged_in
def delete_message(id: str) -> Response:  # noqa: A002
    """Delete one message permanently.

    Returns:
    - 303 to the list, or to the login page without a session
    - 400, 403, 404, 429, 503 as for the page; 403 also for a request from another site
    """
    load_query(_NO_PARAMETERS, request.args)
    if not current_services().store.remove([checked_id(id)], Reason.REQUEST):
        raise MessageNotFound("No message has this id.")
    audit.note("Message deleted on the inbox page", message_id=id)
    return see_other("/inbox?done=deleted")


def _unless_corrupt(parse: Callable[[], ParsedMessage]) -> ParsedMessage | None:
    try:
        return parse()
    except MessageCorrupt:
        return None


def _source(stored: StoredMessage) -> Mapping[str, Any]:
    with current_reader().content(stored) as content:
        text = content[:MOST_SOURCE_BYTES].decode("utf-8", "replace")
    return {"source": text, "is_cut": stored.size > MOST_SOURCE_BYTES}


def _deliveries(stored: StoredMessage) -> Mapping[str, Any]:
    shown = message_deliveries(stored.message_id)
    urls = replay_urls(stored, shown)
    return {"deliveries": shown, "replay_urls": urls, "most_attempts": MOST_ATTEMPTS}


def _nothing(_: StoredMessage) -> Mapping[str, Any]:
    return {}


_MORE: Mapping[str, Callable[[StoredMessage], Mapping[str, Any]]] = {
    "source": _source,
    "deliveries": _deliveries,
}
