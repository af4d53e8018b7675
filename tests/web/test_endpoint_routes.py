"""GET /endpoints, and what can be done with one of them."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from support.application import API_AUTHORIZATION
from support.deliveries import add_for, at, claim, delivered
from support.endpoint_server import EndpointServer, healthy
from support.endpoints import SECRET, endpoint
from support.reading import get
from werkzeug.test import TestResponse

from app.settings import Endpoint
from app.storage.delivery import Replay
from app.storage.interface import MessageStore

URL = "https://app.example.com/hooks/mail?token=s3cret"
SECOND = endpoint("log", url="http://archive/", recipients=("a@b.example",), format="raw")


@pytest.fixture
def server() -> Iterator[EndpointServer]:
    """Return an application that takes everything."""
    with EndpointServer(healthy) as made:
        yield made


@pytest.fixture
def endpoints(server: EndpointServer) -> tuple[Endpoint, ...]:
    """Return three endpoints, the last of which can be reached."""
    return endpoint("app", url=URL), SECOND, endpoint("here", url=server.url())


def listed(client: FlaskClient) -> dict[str, Any]:
    """Return the endpoints by name."""
    answer = get(client, "/endpoints")
    assert answer.status_code == 200, answer.data
    return {each["name"]: each for each in answer.get_json()["endpoints"]}


def post(client: FlaskClient, path: str) -> TestResponse:
    """Post nothing with an api_token."""
    return get(client, path, "POST")


def test_an_endpoint_is_listed_as_it_is(client: FlaskClient, store: MessageStore) -> None:
    """What is configured, without any secret, and what it has to do."""
    add_for(store, "app")
    add_for(store, "app", seconds=5)
    store.deliveries.finish([delivered(claim(store.deliveries, limit=1)[0])])
    store.deliveries.add_replay(Replay("app"))
    assert list(listed(client)) == ["app", "log", "here"]
    assert listed(client)["app"] == {
        "name": "app",
        "url": "https://app.example.com/hooks/mail?***",
        "recipients": ["*"],
        "format": "message",
        "state": "closed",
        "reason": None,
        "since": None,
        "deliveries": {"pending": 1, "delivered": 1, "dead": 0, "discarded": 0},
        "oldest_pending_at": "2026-03-01T12:00:05+00:00",
        "replays": 1,
    }
    assert (listed(client)["log"]["format"], listed(client)["log"]["recipients"]) == (
        "raw",
        ["a@b.example"],
    )
    told = get(client, "/endpoints").data
    assert b"s3cret" not in told
    assert SECRET.encode() not in told


def test_one_that_was_taken_out_is_listed_with_what_it_has(
    client: FlaskClient, store: MessageStore
) -> None:
    """Its deliveries wait, and it says why."""
    add_for(store, "gone")
    store.deliveries.add_replay(Replay("also-gone"))
    assert list(listed(client))[3:] == ["also-gone", "gone"]
    found = listed(client)["gone"]
    assert (found["url"], found["format"], found["recipients"]) == (None, None, [])
    assert (found["state"], found["reason"]) == ("paused", "not_configured")
    assert found["deliveries"]["pending"] == 1


def test_one_that_keeps_failing_is_open(client: FlaskClient, store: MessageStore) -> None:
    """Since when, and why; a pause goes before that."""
    store.deliveries.open_breaker("app", "timeout", at(7))
    found = listed(client)["app"]
    assert (found["state"], found["reason"], found["since"]) == (
        "open",
        "timeout",
        "2026-03-01T12:00:07+00:00",
    )
    assert listed(client)["log"]["state"] == "closed"
    store.deliveries.pause("app", "gone")
    found = listed(client)["app"]
    assert (found["state"], found["reason"], found["since"]) == ("paused", "gone", None)


def test_an_endpoint_is_paused_and_resumed(client: FlaskClient, store: MessageStore) -> None:
    """Twice is as good as once; the answer has the endpoint as it is then."""
    for _ in range(2):
        answer = post(client, "/endpoints/app/pause")
        assert (answer.status_code, answer.get_json()["state"]) == (200, "paused")
        assert answer.get_json()["reason"] == "requested"
    assert store.deliveries.paused() == {"app": "requested"}
    for _ in range(2):
        answer = post(client, "/endpoints/app/resume")
        assert (answer.status_code, answer.get_json()["state"]) == (200, "closed")
    assert store.deliveries.paused() == {}


@pytest.mark.parametrize("action", ["pause", "resume", "test"])
@pytest.mark.parametrize("name", ["none", "APP", "app ", "..", "%00", "a" * 10_000])
def test_a_name_that_is_made_up_is_not_found(
    client: FlaskClient, store: MessageStore, action: str, name: str
) -> None:
    """404, and nothing is paused that somebody may configure later."""
    answer = post(client, f"/endpoints/{name}/{action}")
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")
    assert store.deliveries.paused() == {}


@pytest.mark.parametrize("action", ["pause", "resume", "test"])
def test_what_is_not_read_is_refused(
    client: FlaskClient, server: EndpointServer, action: str
) -> None:
    """A parameter or a body could ask for something else than what would be done."""
    path = f"/endpoints/here/{action}"
    assert post(client, f"{path}?x=1").get_json()["errors"][0]["field"] == "x"
    assert client.post(path, json={"x": 1}, headers=API_AUTHORIZATION).status_code == 400
    assert server.received == []
