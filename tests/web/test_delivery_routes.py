"""GET /deliveries, one delivery, and what can be done with it."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from support.application import API_AUTHORIZATION
from support.clock import Clock
from support.deliveries import (
    add_for,
    at,
    attempt,
    claim,
    dead,
    delivered,
    failed,
    states,
)
from support.endpoints import endpoint
from support.reading import get, send
from werkzeug.test import TestResponse

from app.deliveries.delivery_id import delivery_id, delivery_number
from app.errors import DeliveryNotFound
from app.reading.cursor import make_cursor
from app.settings import Endpoint
from app.storage.delivery import Attempt, Result, State
from app.storage.interface import MessageStore
from app.storage.message import Reason

UNKNOWN = delivery_id(2**62)
MADE_UP = [UNKNOWN, "x", "1", "..", "%2e%2e%2f..", "dlv_", "a" * 10_000, "%00", "é", "*"]


@pytest.fixture
def endpoints() -> tuple[Endpoint, ...]:
    """Return two endpoints."""
    return endpoint("app"), endpoint("log")


def listed(client: FlaskClient, query: str = "") -> dict[str, Any]:
    """Return a page of the list."""
    answer = get(client, f"/deliveries{query}")
    assert answer.status_code == 200, answer.data
    page: dict[str, Any] = answer.get_json()
    return page


def messages(client: FlaskClient, query: str = "") -> list[str]:
    """Return the ids of the messages that the deliveries in a page are of."""
    return [each["message_id"] for each in listed(client, query)["deliveries"]]


def only(client: FlaskClient) -> str:
    """Return the id of the only delivery."""
    [found] = listed(client)["deliveries"]
    delivery: str = found["id"]
    return delivery


def post(client: FlaskClient, path: str, body: object = None) -> TestResponse:
    """Post JSON with an api_token, or nothing."""
    if body is None:
        return get(client, path, "POST")
    return client.post(path, json=body, headers=API_AUTHORIZATION)


def test_a_delivery_is_listed_as_it_is(client: FlaskClient, store: MessageStore) -> None:
    """Of which message, to whom, how far it is, and when it is tried next."""
    receipt = add_for(store, "app", recipient="eve@example.com")
    store.deliveries.finish([failed(claim(store.deliveries)[0], due=30)])
    page = listed(client)
    assert (page["next"], page["has_more"]) == (None, False)
    [found] = page["deliveries"]
    assert found.pop("id").startswith("dlv_")
    assert found.pop("cursor")
    assert found == {
        "message_id": receipt.message_id,
        "webhook_id": f"msg_{receipt.message_id}",
        "endpoint": "app",
        "recipient": "eve@example.com",
        "state": "pending",
        "reason": "refused",
        "attempt_count": 1,
        "next_attempt_at": "2026-03-01T12:00:30+00:00",
        "is_replay": False,
        "created_at": "2026-03-01T12:00:00+00:00",
        "settled_at": None,
    }


def test_each_attempt_is_shown(client: FlaskClient, store: MessageStore) -> None:
    """When, where, how long, with what status, why it failed, and what came back."""
    add_for(store, "app")
    [first] = claim(store.deliveries)
    odd = Attempt(at(1), None, None, 30_000, "No answer within 30 s.", b"")
    store.deliveries.finish([Result(first, State.PENDING, at(6), True, odd, "timeout")])
    [second] = claim(store.deliveries, seconds=6)
    made = attempt(seconds=6, answer=b"\xffok\x1b")
    store.deliveries.finish([Result(second, State.DELIVERED, None, True, made, None)])
    shown = get(client, f"/deliveries/{only(client)}").get_json()
    assert (shown["state"], shown["reason"], shown["next_attempt_at"]) == ("delivered", None, None)
    assert "cursor" not in shown
    assert shown["attempts"] == [
        {
            "at": "2026-03-01T12:00:01+00:00",
            "address": None,
            "status": None,
            "duration_ms": 30_000,
            "error": "No answer within 30 s.",
            "answer": "",
        },
        {
            "at": "2026-03-01T12:00:06+00:00",
            "address": "192.0.2.1",
            "status": 200,
            "duration_ms": 12,
            "error": None,
            "answer": "\ufffdok\x1b",
        },
    ]


def by_links(client: FlaskClient, first: str) -> Iterator[list[str]]:
    """Yield the messages of each page, as a client that follows `Link` sees them."""
    path: str | None = first
    while path is not None:
        page, link = get(client, path).get_json(), get(client, path).headers.get("Link")
        yield [each["message_id"] for each in page["deliveries"]]
        assert (link is None) == (page["next"] is None)
        if link is None or not page["has_more"]:
            return
        path = link.removeprefix("<").removesuffix('>; rel="next"')


@pytest.mark.parametrize("limit", [1, 3, 4, 200])
def test_pages_lead_through_the_list(client: FlaskClient, store: MessageStore, limit: int) -> None:
    """Newest first without a cursor or an empty `before`, oldest first with `after`."""
    made = [add_for(store, "app", seconds=second).message_id for second in range(4)]
    add_for(store, "log", seconds=9)
    newest = list(by_links(client, f"/deliveries?limit={limit}&endpoint=app"))
    assert newest == list(by_links(client, f"/deliveries?limit={limit}&endpoint=app&before="))
    assert [each for page in newest for each in page] == made[::-1]
    assert max(map(len, newest)) == min(limit, 4)
    oldest = list(by_links(client, f"/deliveries?after=&endpoint=app&limit={limit}"))
    assert [each for page in oldest for each in page] == made


def test_a_reader_goes_on_where_it_stopped(client: FlaskClient, store: MessageStore) -> None:
    """With `after` there is always a next page, which has what was made in the meantime."""
    page = listed(client, "?after=")
    assert (page["deliveries"], page["has_more"]) == ([], False)
    first = add_for(store, "app")
    page = listed(client, f"?after={page['next']}")
    assert [each["message_id"] for each in page["deliveries"]] == [first.message_id]
    assert listed(client, f"?after={page['next']}")["next"] == page["next"]
    second = add_for(store, "app", seconds=1)
    assert messages(client, f"?after={page['next']}") == [second.message_id]


def test_each_filter_filters(client: FlaskClient, store: MessageStore) -> None:
    """Of two deliveries each finds the one that is meant."""
    other = add_for(store, "app", recipient="bob@example.com")
    store.deliveries.finish([delivered(claim(store.deliveries)[0])])
    wanted = add_for(store, "log", recipient="Eve@example.com", seconds=60)
    for query in (
        "endpoint=log",
        "state=pending",
        "recipient=eve@EXAMPLE.com",
        f"message_id={wanted.message_id}",
        "since=2026-03-01T12:01:00Z",
        "since=2026-03-01T13:01:00%2B01:00&endpoint=log",
    ):
        assert messages(client, f"?{query}") == [wanted.message_id], query
    assert messages(client, "?until=2026-03-01T12:01:00Z") == [other.message_id]
    assert messages(client, "?endpoint=none") == messages(client, "?state=dead") == []


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("endpont=a", "endpont", "endpoint"),
        ("limit=1&limit=2", "limit", "more than once"),
        ("limit=0", "limit", "1"),
        ("limit=201", "limit", "200"),
        ("limit=x", "limit", "digits"),
        ("state=lost", "state", "pending"),
        ("message_id=x", "message_id", "id"),
        ("since=yesterday", "since", "2026-01-31"),
        ("until=2026-01-31T12:00:00+01:00", "until", "%2B"),
        ("recipient=", "recipient", "1"),
        ("recipient=a+b@example.com", "recipient", "%2B"),
        ("endpoint=" + "x" * 1001, "endpoint", "1000"),
        ("after=&before=x", "before", "after"),
    ],
)
def test_wrong_parameters_are_named(
    client: FlaskClient, query: str, field: str, words: str
) -> None:
    """400 with the name of the parameter, and what would be right."""
    answer = get(client, f"/deliveries?{query}")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_request")
    [fault] = answer.get_json()["errors"]
    assert fault["field"] == field
    assert words in fault["message"]


@pytest.mark.parametrize("name", ["after", "before"])
@pytest.mark.parametrize("cursor", ["x", make_cursor(b"another!", 1), "%00", "A" * 10_000])
def test_a_wrong_cursor_is_refused(client: FlaskClient, name: str, cursor: str) -> None:
    """Also one of another store."""
    answer = get(client, f"/deliveries?{name}={cursor}")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_request")


def test_a_query_that_is_not_utf_8_is_refused(client: FlaskClient) -> None:
    """As for messages."""
    answer = get(client, "/deliveries?recipient=%FF")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_request")
    assert "UTF-8" in answer.get_json()["detail"]


@pytest.mark.parametrize("path", ["/deliveries", "/deliveries/x/retry", "/replays", "/endpoints"])
@pytest.mark.parametrize("headers", [{}, API_AUTHORIZATION])
def test_refusals_are_private(client: FlaskClient, path: str, headers: dict[str, str]) -> None:
    """Also when the method is wrong."""
    for method in ("GET", "POST", "PUT", "OPTIONS"):
        answer = client.open(path, method=method, headers=headers, data=b"x")
        assert answer.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("made_up", MADE_UP)
@pytest.mark.parametrize(
    ("method", "rest"), [("GET", ""), ("HEAD", ""), ("POST", "/retry"), ("POST", "/discard")]
)
def test_an_id_that_is_made_up_is_not_found(
    client: FlaskClient, store: MessageStore, made_up: str, method: str, rest: str
) -> None:
    """404 in few words, and nothing is changed."""
    add_for(store, "app")
    answer = get(client, f"/deliveries/{made_up}{rest}", method)
    assert answer.status_code == 404
    assert len(answer.data) < 500
    assert states(store) == [State.PENDING]


@pytest.mark.parametrize("number", [1, 2**40, 2**63 - 1])
def test_an_id_stands_for_one_number(number: int) -> None:
    """It has one form, and what looks like it is none."""
    text = delivery_id(number)
    assert delivery_number(text) == number
    assert delivery_id(number - 1) < text
    for other in (text.upper(), text[:-1], f"{text}0", text.removeprefix("dlv_"), f"{text} "):
        with pytest.raises(DeliveryNotFound):
            delivery_number(other)
    with pytest.raises(DeliveryNotFound):
        delivery_number(delivery_id(2**63))


def test_a_delivery_is_gone_with_its_message(client: FlaskClient, store: MessageStore) -> None:
    """404, as for one that never was."""
    receipt = add_for(store, "app")
    path = f"/deliveries/{only(client)}"
    store.remove([receipt.message_id], Reason.REQUEST)
    for answer in (get(client, path), post(client, f"{path}/retry")):
        assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("result", [dead, delivered, lambda claimed: failed(claimed, due=900)])
def test_a_retry_is_due_now(
    client: FlaskClient, store: MessageStore, clock: Clock[datetime], result: Any
) -> None:
    """With all attempts before it, whatever its state; those it had are still told."""
    add_for(store, "app")
    store.deliveries.finish([result(claim(store.deliveries)[0])])
    clock.now = at(60)
    answer = post(client, f"/deliveries/{only(client)}/retry")
    assert answer.status_code == 200
    shown = answer.get_json()
    assert (shown["state"], shown["attempt_count"], len(shown["attempts"])) == ("pending", 0, 1)
    assert shown["next_attempt_at"] == "2026-03-01T12:01:00+00:00"
    assert len(claim(store.deliveries, seconds=60)) == 1


def test_a_delivery_is_given_up(client: FlaskClient, store: MessageStore) -> None:
    """It is never sent again; once more nothing happens; a retry takes it back."""
    add_for(store, "app")
    path = f"/deliveries/{only(client)}"
    for _ in range(2):
        answer = post(client, f"{path}/discard")
        assert (answer.status_code, answer.get_json()["state"]) == (200, "discarded")
    assert claim(store.deliveries) == []
    assert post(client, f"{path}/retry").get_json()["state"] == "pending"


def test_what_is_delivered_can_not_be_given_up(client: FlaskClient, store: MessageStore) -> None:
    """409, so that nobody thinks it hasn't arrived."""
    add_for(store, "app")
    store.deliveries.finish([delivered(claim(store.deliveries)[0])])
    answer = post(client, f"/deliveries/{only(client)}/discard")
    assert (answer.status_code, answer.get_json()["code"]) == (409, "conflict")
    assert states(store) == [State.DELIVERED]


@pytest.mark.parametrize("path", ["/deliveries/{}/retry", "/deliveries/{}/discard"])
def test_what_is_not_read_is_refused(client: FlaskClient, store: MessageStore, path: str) -> None:
    """A body or a parameter could ask for something else than what would be done."""
    add_for(store, "app")
    filled = path.format(only(client))
    assert post(client, filled, {"endpoint": "app"}).status_code == 400
    assert post(client, f"{filled}?all=1").status_code == 400
    assert states(store) == [State.PENDING]


def test_reading_changes_nothing(client: FlaskClient, store: MessageStore) -> None:
    """Every GET, and none is seen in the queue."""
    add_for(store, "app")
    before = store.deliveries.get(delivery_number(only(client)))
    for path in ("/deliveries", "/deliveries?after=", f"/deliveries/{only(client)}"):
        answer = get(client, path, Origin="https://evil.example")
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
        body = client.get(path, data=b"{}", headers=API_AUTHORIZATION)
        assert (answer.status_code, body.status_code) == (200, 400)
    assert store.deliveries.get(delivery_number(only(client))) == before


def test_mail_is_found_by_its_message(client: FlaskClient) -> None:
    """Mail that came in while there was no endpoint has no delivery: an empty list, not 404."""
    message_id = send(client)
    assert listed(client, f"?message_id={message_id}")["deliveries"] == []
    assert json.loads(get(client, "/deliveries").data)["next"] is None
