"""The list of messages, its search, and what keeps it up to date."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import Response, render_template, request

from app.errors import BadRequest, FieldFault
from app.reading.cursor import make_cursor
from app.storage.interface import Page, Query
from app.storage.message import StoredMessage
from app.web.inbox.blueprint import blueprint
from app.web.inbox.form import filled
from app.web.inbox.guards import logged_in, logged_in_script
from app.web.inbox.notices import NOTICES, PageParameters
from app.web.inbox.rendering import render
from app.web.inbox.scheme import is_https
from app.web.json_exchange import json_answer
from app.web.message_parameters import ListParameters
from app.web.message_query import message_query
from app.web.messages import RETRY_AFTER_SECONDS
from app.web.paging import next_cursor, next_number
from app.web.parameters import load, load_query
from app.web.request_context import current_reader, current_request, current_services

FILTERS = (
    "subject",
    "recipient",
    "sender",
    "since",
    "until",
    "queue_id",
    "header_message_id",
)
_WRONG = "Some fields of the search are wrong."


class _ListPageParameters(ListParameters, PageParameters):
    """The parameters of the list, which has those of GET /messages."""


_PARAMETERS = _ListPageParameters(exclude=["wait"])
_WAITING = ListParameters()


@dataclass(frozen=True)
class _Links:
    """Where a list goes on, None where it doesn't; `live` is for the script of the page."""

    newer: str | None
    older: str | None
    live: str | None


@blueprint.get("/inbox")
@blueprint.get("/inbox/")
@logged_in
def list_messages() -> Response:
    """Show messages, newest first, that match the filters of GET /messages.

    Returns:
    - 200
    - 303 to the login page without a session
    - 400 `bad_request` for a filter or parameter that is wrong
    - 403 `forbidden` for a host that isn't allowed
    - 429 `rate_limited`
    - 503 `shutting_down`, `storage_unavailable`
    """
    try:
        fields = filled(request.args)
        given = load(_PARAMETERS, fields, _WRONG)
    except BadRequest as error:
        return _refused(error)
    identity = current_services().store.identity()
    query = message_query(given, identity)
    page = current_reader().page(query)
    filters = {name: fields[name] for name in FILTERS if name in fields}
    kept = filters | {name: fields[name] for name in ("limit",) if name in fields}
    return render(
        "messages.html",
        filters=filters,
        faults=(),
        messages=_newest_first(page, query),
        links=_links(page, query, kept, identity),
        newest_url=list_url(kept),
        is_first=query.before is None and query.after is None,
        has_more=page.has_more,
        notice=NOTICES.get(given.get("done", "")),
        base_url=f"{'https' if is_https() else 'http'}://{request.environ['HTTP_HOST']}",
    )


@blueprint.get("/inbox/newer")
@logged_in_script
def newer_messages() -> Response:
    """Return what the list lacks, for its script: like GET /messages with `after` and `wait`.

    Returns:
    - 200: `rows` is HTML, newest first, and `next` the cursor of the next request
    - 400 `bad_request` for a parameter that is wrong, or without `after`
    - 401 `unauthorized` without a session
    - 403, 429, 503 as for the list
    """
    given = load_query(_WAITING, request.args)
    if "after" not in given:
        raise BadRequest("A parameter is missing.", [FieldFault("after", "Is missing.")])
    identity = current_services().store.identity()
    query = message_query(given, identity)
    page, was_refused = current_reader().wait(query, given["wait"])
    number = next_number(page.position, query.after, oldest_first=True, has_more=page.has_more)
    rows = render_template("inbox/rows.html", messages=_newest_first(page, query))
    document = {"rows": rows, "count": len(page.messages), "has_more": page.has_more}
    answer = json_answer(document | {"next": next_cursor(number, identity)})
    if was_refused:
        answer.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return answer


def _refused(error: BadRequest) -> Response:
    context = current_request()
    context.code, context.detail, context.faults = error.code, str(error), error.faults
    given = {name: request.args[name] for name in FILTERS if name in request.args}
    return render(
        "messages.html",
        400,
        filters=given,
        faults=error.faults or (FieldFault("", str(error)),),
        messages=(),
        links=_Links(None, None, None),
        newest_url="/inbox",
        is_first=False,
        has_more=False,
        notice=None,
        base_url="",
    )


def _newest_first(page: Page, query: Query) -> Sequence[StoredMessage]:
    return page.messages[::-1] if query.oldest_first else page.messages


def _links(page: Page, query: Query, filters: Mapping[str, str], identity: bytes) -> _Links:
    shown = _newest_first(page, query)
    newest = shown[0].number if shown else query.after
    oldest = shown[-1].number if shown else None
    if not query.oldest_first:
        oldest = page.position if page.has_more else None
    is_first = query.before is None and query.after is None
    is_whole = bool(shown) or not page.has_more

    def link(path: str, name: str, number: int | None) -> str | None:
        if number is None:
            return None
        return f"{path}?{urlencode({**filters, name: make_cursor(identity, number)})}"

    return _Links(
        newer=link("/inbox", "after", newest),
        older=link("/inbox", "before", oldest),
        live=link("/inbox/newer", "after", newest or 0) if is_first and is_whole else None,
    )


def list_url(filters: Mapping[str, Any]) -> str:
    """Return the URL of the list with `filters`."""
    return f"/inbox?{urlencode(filters)}" if filters else "/inbox"
