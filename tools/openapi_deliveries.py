"""The paths of the OpenAPI document for deliveries, replays and endpoints."""

from collections.abc import Mapping
from typing import Any

from openapi_answers import LIMIT_HEADERS, answer, problem
from openapi_operations import (
    BODY_FAILURES,
    HEADERS,
    NOT_FOUND,
    Operations,
    get,
    in_path,
    operation,
    with_body,
)

from app.web.delivery_parameters import DeliveryListParameters


def delivery_paths() -> dict[str, Operations]:
    """Return the operations of each path, except OPTIONS."""
    return {
        "/deliveries": get(_list()),
        "/deliveries/{id}": get(_show()),
        "/deliveries/{id}/retry": {"post": _retry()},
        "/deliveries/{id}/discard": {"post": _discard()},
        "/replays": {"post": _replay()},
        "/endpoints": get(_endpoints()),
        "/endpoints/{name}/pause": {"post": _pause()},
        "/endpoints/{name}/resume": {"post": _resume()},
        "/endpoints/{name}/test": {"post": _test()},
    }


def _list() -> dict[str, Any]:
    return operation(
        "listDeliveries",
        "List deliveries, a page at a time",
        {"200": answer("DeliveryPage", "A page of deliveries", [*HEADERS, "Link"])},
        [{"in": "query", "schema": DeliveryListParameters}],
    )


def _show() -> dict[str, Any]:
    return _of_one("showDelivery", "Show one delivery with its attempts", "The delivery")


def _retry() -> dict[str, Any]:
    return _of_one("retryDelivery", "Make a delivery due now, in any state", "The delivery")


def _discard() -> dict[str, Any]:
    conflict = {"409": problem("conflict", headers=LIMIT_HEADERS)}
    summary = "Discard a delivery that is pending or dead"
    return _of_one("discardDelivery", summary, "The delivery", conflict)


def _replay() -> dict[str, Any]:
    answers = {
        "200": answer("Replay", "The number of messages that a replay would send", HEADERS),
        "202": answer("Replay", "The number of messages that the replay sends", HEADERS),
    }
    replay = operation("replay", "Send stored messages to an endpoint", answers | BODY_FAILURES)
    return with_body(replay, "ReplayRequest")


def _endpoints() -> dict[str, Any]:
    answers = {"200": answer("EndpointList", "All endpoints", HEADERS)}
    return operation("listEndpoints", "List the endpoints with their states", answers)


def _pause() -> dict[str, Any]:
    return _of_endpoint(
        "pauseEndpoint", "Stop deliveries to an endpoint until it is resumed", "Endpoint"
    )


def _resume() -> dict[str, Any]:
    return _of_endpoint("resumeEndpoint", "End a pause", "Endpoint")


def _test() -> dict[str, Any]:
    return _of_endpoint("testEndpoint", "Send a signed sample to an endpoint", "EndpointTest")


def _of_one(
    name: str, summary: str, description: str, more: Mapping[str, dict[str, Any]] | None = None
) -> dict[str, Any]:
    answers = {"200": answer("Delivery", description, HEADERS)} | NOT_FOUND | dict(more or {})
    return operation(name, summary, answers, [in_path("id")])


def _of_endpoint(name: str, summary: str, schema: str) -> dict[str, Any]:
    description = "The result" if schema == "EndpointTest" else "The endpoint"
    answers = {"200": answer(schema, description, HEADERS)} | NOT_FOUND
    return operation(name, summary, answers, [in_path("name")])
