"""POST /replays."""

import pytest
from flask.testing import FlaskClient
from support.application import API_AUTHORIZATION
from support.deliveries import add_for, at
from support.endpoints import endpoint
from werkzeug.test import TestResponse

from app.settings import Endpoint
from app.storage.interface import MessageStore


@pytest.fixture
def endpoints() -> tuple[Endpoint, ...]:
    """Return two endpoints."""
    return endpoint("app"), endpoint("log")


def post(client: FlaskClient, body: object) -> TestResponse:
    """Ask for a replay with an api_token."""
    return client.post("/replays", json=body, headers=API_AUTHORIZATION)


def test_a_replay_is_counted_then_noted(client: FlaskClient, store: MessageStore) -> None:
    """A dry run says how many there are; then it is the delivery process that goes on."""
    for second in range(3):
        add_for(store, seconds=second)
    asked = {"endpoint": "log", "since": "2026-03-01T12:00:01Z"}
    answer = post(client, asked | {"dry_run": True})
    assert (answer.status_code, answer.get_json()) == (
        200,
        {"endpoint": "log", "messages": 2, "dry_run": True},
    )
    assert store.deliveries.replays() == []
    limits = {"until": "2026-03-01T12:00:02Z", "recipient": "BOB@example.com", "rate": 2.5}
    answer = post(client, asked | limits)
    assert (answer.status_code, answer.get_json()["messages"]) == (202, 1)
    [replay] = store.deliveries.replays()
    assert (replay.endpoint, replay.since, replay.until) == ("log", at(1), at(2))
    assert (replay.recipient, replay.rate) == ("BOB@example.com", 2.5)
    assert store.deliveries.advance_replay(replay.number, 10, at(9)) == 1


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"endpoint": "lag"}, "endpoint", "app, log"),
        ({"endpoint": None}, "endpoint", "null"),
        ({"endpoint": 1}, "endpoint", "string"),
        ({"endpoint": "\ud800"}, "endpoint", "surrogate"),
        ({"recipient": "\ud800@example.com"}, "recipient", "surrogate"),
        ({"recipient": "a\0@example.com"}, "recipient", "control"),
        ({"since": "7d"}, "since", "2026-01-31"),
        ({"since": 1}, "since", "2026-01-31"),
        ({"since": None}, "since", "null"),
        ({"until": "2026-02-28"}, "until", "later than since"),
        ({"rate": 0}, "rate", "greater than 0"),
        ({"rate": -1}, "rate", "greater than 0"),
        ({"rate": 10_001}, "rate", "10000"),
        ({"rate": "fast"}, "rate", "number"),
        ({"dry_run": "no"}, "dry_run", "boolean"),
        ({"dryrun": True}, "dryrun", "dry_run"),
        ({"recipient": ""}, "recipient", "1"),
    ],
)
def test_a_wrong_replay_is_refused(
    client: FlaskClient, store: MessageStore, changes: dict[str, object], field: str, words: str
) -> None:
    """400 with the name of the member; nothing is sent again by mistake."""
    asked = {"endpoint": "log", "since": "2026-03-01"} | changes
    answer = post(client, asked)
    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_request")
    [fault] = answer.get_json()["errors"]
    assert fault["field"] == field
    assert words in fault["message"].lower()
    assert store.deliveries.replays() == []


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"endpoint": "log"}', "application/json", 400),
        (b'{"endpoint": "log", "since": "2026-03-01"}', "text/plain", 415),
        (b'{"since": "2026-03-01", "endpoint": "log", "endpoint": "app"}', "application/json", 400),
        (b'{"endpoint": "log", "since": "2026-03-01"}' + b" " * 1_100_000, "application/json", 413),
    ],
)
def test_anything_but_a_replay_replays_nothing(
    client: FlaskClient, store: MessageStore, body: bytes, content_type: str, status: int
) -> None:
    """Neither a form of another site nor half a request."""
    headers = API_AUTHORIZATION | {"Content-Type": content_type}
    assert client.post("/replays", data=body, headers=headers).status_code == status
    assert store.deliveries.replays() == []
