"""Routes that list, show, retry and discard deliveries, and replay messages."""

from collections.abc import Mapping
from typing import Any

from flask import Response, request

from app.auth.tokens import TokenKind
from app.deliveries.delivery_id import delivery_number
from app.deliveries.describe import describe_delivery, summarize_delivery
from app.deliveries.endpoint_status import configured_endpoint
from app.errors import BadRequest, Conflict, EndpointNotFound, FieldFault
from app.reading.cursor import make_cursor
from app.storage.delivery import DeliveryQuery, Replay, State
from app.storage.interface import Query
from app.web.access import needs
from app.web.delivery_parameters import DeliveryListParameters, ReplayRequestSchema
from app.web.json_exchange import json_answer, json_body
from app.web.paging import cursor_number, link, next_cursor, next_number
from app.web.parameters import NoParameters, load, load_query
from app.web.private_routes import private_blueprint, refuse_body
from app.web.request_context import current_services

blueprint = private_blueprint("deliveries")

_LIST_PARAMETERS = DeliveryListParameters()
_NO_PARAMETERS = NoParameters()
_REPLAY = ReplayRequestSchema()


@blueprint.get("/deliveries")
@needs(TokenKind.API)
def list_deliveries() -> Response:
    """List deliveries, a page at a time.

    Returns:
    - 200: `next` is the cursor of the next page, and `Link` its URL. With `after` there always is
      one, for deliveries that are created later
    - 400 `bad_request` for a parameter that is unknown, wrong or given twice, for a cursor from
      another store, and for a body
    - 401 `unauthorized` without a valid token
    - 403 `forbidden` with a bearer_token
    - 429 `rate_limited`
    - 503 `shutting_down`, `storage_unavailable`
    """
    given = load_query(_LIST_PARAMETERS, request.args)
    store = current_services().store
    identity = store.identity()
    query = _query(given, identity)
    page = store.deliveries.find(query)
    number = next_number(
        page.position, query.after, oldest_first=query.oldest_first, has_more=page.has_more
    )
    cursor = next_cursor(number, identity)
    listed = [
        summarize_delivery(each, make_cursor(identity, each.number)) for each in page.deliveries
    ]
    answer = json_answer({"deliveries": listed, "next": cursor, "has_more": page.has_more})
    return link(answer, "/deliveries", cursor, oldest_first=query.oldest_first)


@blueprint.get("/deliveries/<id>")
@needs(TokenKind.API)
def show_delivery(id: str) -> Response:  # noqa: A002 -- the name in the rule, metrics and docs
    """Show one delivery with its attempts; see app.deliveries.schemas.

    Returns:
    - 200
    - 400, 401, 403, 429, 503 as for the list
    - 404 `not_found` if no delivery has this id, or it was deleted with its message
    """
    load_query(_NO_PARAMETERS, request.args)
    return _shown(delivery_number(id))


@blueprint.post("/deliveries/<id>/retry")
@needs(TokenKind.API)
def retry_delivery(id: str) -> Response:  # noqa: A002
    """Make a delivery due now, in any state, and start its schedule of attempts anew.

    Returns:
    - 200 with the delivery
    - 400, 401, 403, 429, 503 as for the list
    - 404 `not_found` if no delivery has this id, or it was deleted with its message
    """
    load_query(_NO_PARAMETERS, request.args)
    refuse_body()
    services, number = current_services(), delivery_number(id)
    services.store.deliveries.retry([number], services.clock())
    return _shown(number)


@blueprint.post("/deliveries/<id>/discard")
@needs(TokenKind.API)
def discard_delivery(id: str) -> Response:  # noqa: A002
    """Discard a delivery that is pending or dead; a discarded one stays as it is.

    Returns:
    - 200 with the delivery
    - 400, 401, 403, 429, 503 as for the list
    - 404 `not_found` if no delivery has this id, or it was deleted with its message
    - 409 `conflict` if it has already been delivered
    """
    load_query(_NO_PARAMETERS, request.args)
    refuse_body()
    queue, number = current_services().store.deliveries, delivery_number(id)
    discarded = queue.discard([number])
    if not discarded and queue.get(number)[0].state is State.DELIVERED:
        raise Conflict("The message has already been delivered to this endpoint.")
    return _shown(number)


@blueprint.post("/replays")
@needs(TokenKind.API)
def replay() -> Response:
    """Deliver stored messages to an endpoint, again or for the first time; new mail goes first.

    Returns:
    - 202 with the number of messages: the replay continues in the background, also after a restart
    - 200 with the number of messages for a `dry_run`
    - 400 `bad_request` if the body is anything but a replay to a configured endpoint
    - 401, 403, 429, 503 as for the list
    - 408 `timeout` if the body arrives too slowly, 413 `message_too_large` if it exceeds 1 MiB
    - 415 `unsupported_media_type` if it isn't declared as application/json
    """
    load_query(_NO_PARAMETERS, request.args)
    given = load(_REPLAY, json_body("the replay"), "Some members of the replay are wrong.")
    services = current_services()
    _check_endpoint(given["endpoint"])
    asked = Replay(
        endpoint=given["endpoint"],
        since=given["since"],
        until=given.get("until"),
        recipient=given.get("recipient"),
        rate=given.get("rate"),
    )
    count = services.store.count(Query(asked.recipient, asked.since, asked.until))
    if not given["dry_run"]:
        services.store.deliveries.add_replay(asked)
    document = {"endpoint": asked.endpoint, "messages": count, "dry_run": given["dry_run"]}
    return json_answer(document, 200 if given["dry_run"] else 202)


def _query(given: Mapping[str, Any], identity: bytes) -> DeliveryQuery:
    return DeliveryQuery(
        endpoint=given.get("endpoint"),
        state=State(given["state"]) if "state" in given else None,
        recipient=given.get("recipient"),
        since=given.get("since"),
        until=given.get("until"),
        message_id=given.get("message_id"),
        after=cursor_number(given.get("after"), identity),
        before=cursor_number(given.get("before"), identity),
        limit=given["limit"],
        oldest_first="after" in given,
    )


def _shown(number: int) -> Response:
    return json_answer(describe_delivery(*current_services().store.deliveries.get(number)))


def _check_endpoint(name: str) -> None:
    endpoints = current_services().endpoints
    try:
        configured_endpoint(name, endpoints)
    except EndpointNotFound as error:
        names = ", ".join(endpoint.name for endpoint in endpoints) or "none"
        text = f"Must be the name of a configured endpoint: {names}."
        fault = FieldFault("endpoint", text)
        raise BadRequest("Some members of the replay are wrong.", [fault]) from error
