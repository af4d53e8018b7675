"""Endpoints on the inbox page: their state, what is done with them, replays, and deliveries."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from lxml import html
from support.deliveries import add_for, at, attempt, claim, dead, delivered, failed
from support.endpoint_server import EndpointServer, healthy
from support.endpoints import endpoint
from support.inbox import FROM_THE_PAGE, forms, links, log_in, page, post_form, text_of
from support.reading import send
from support.tokens import TOKENS

from app.settings import Endpoint
from app.storage.delivery import DeliveryPage, Replay
from app.storage.interface import MessageStore

URL = "https://app.example.com/hooks/mail?token=s3cret"
PATH = "/inbox/endpoints"


@pytest.fixture
def server() -> Iterator[EndpointServer]:
    """Return an application that takes everything."""
    with EndpointServer(healthy) as made:
        yield made


@pytest.fixture
def endpoints(server: EndpointServer) -> tuple[Endpoint, ...]:
    """Return three endpoints, the last of which can be reached."""
    log = endpoint("log", url="http://169.254.169.254/", recipients=("a@b.example",))
    return endpoint("app", url=URL), log, endpoint("here", url=server.url())


def section(client: FlaskClient, name: str) -> Any:
    """Return the section of an endpoint."""
    [found] = page(client, PATH).xpath(f"//section[h2[@id='endpoint-{name}']]")
    return found


def words(element: Any) -> str:
    """Return its text."""
    return " ".join(element.text_content().split())


def test_an_endpoint_is_shown_as_it_is(client: FlaskClient, store: MessageStore) -> None:
    """Its state, what waits for it, and its URL without what may be secret."""
    log_in(client)
    for seconds in range(3):
        add_for(store, "app", seconds=seconds)
    first, second, _ = claim(store.deliveries, seconds=5)
    store.deliveries.finish([delivered(first), dead(second)])
    store.deliveries.add_replay(Replay("app"))
    text = words(section(client, "app"))
    assert text.startswith("app active")
    assert "URL https://app.example.com/hooks/mail?***" in text
    assert "s3cret" not in text
    assert "1 pending, the oldest since 2026-03-01 12:00:02 UTC" in text
    assert "1 dead" in text
    assert "1 delivered" in text
    assert "Replays 1 under way" in text
    assert "Recipients a@b.example" in words(section(client, "log"))
    assert "Recipients all" in words(section(client, "here"))


def test_the_last_error_is_shown(client: FlaskClient, store: MessageStore) -> None:
    """The newest of all failed attempts, with a link to its message; none where nothing failed."""
    log_in(client)
    for seconds in (0, 10):
        add_for(store, "app", seconds=seconds)
    first, second = claim(store.deliveries, seconds=20)
    later = replace(attempt(status=None), at=at(30), error="Connection refused.")
    store.deliveries.finish([replace(dead(first), attempt=later), failed(second, due=60)])
    text, links_there = words(section(client, "app")), links(section(client, "app"))
    assert "Last error 2026-03-01 12:00:30 UTC: Connection refused." in text
    message_id = first.delivery.message_id
    assert links_there["See the message"] == f"/inbox/{message_id}?tab=deliveries"
    assert "Last error" not in words(section(client, "here"))


def test_the_last_error_is_shown_however_many_wait(
    client: FlaskClient, store: MessageStore
) -> None:
    """While an endpoint is down, the newest deliveries wait without having been attempted."""
    log_in(client)
    add_for(store, "app")
    [first] = claim(store.deliveries)
    store.deliveries.finish([failed(first, due=60)])
    for seconds in range(1, 31):
        add_for(store, "app", seconds=seconds)
    assert "Last error 2026-03-01 12:00:00 UTC" in words(section(client, "app"))


def test_an_open_breaker_is_explained(client: FlaskClient, store: MessageStore) -> None:
    """What is wrong, since when, and what happens next."""
    log_in(client)
    store.deliveries.open_breaker("app", "timeout", at(60))
    text = words(section(client, "app"))
    assert text.startswith("app failing")
    assert "No answer arrived within the endpoint's timeout" in text
    assert "Failing since 2026-03-01 12:01:00 UTC" in text


def test_an_endpoint_is_paused_and_resumed(
    client: FlaskClient, store: MessageStore, caplog: Any
) -> None:
    """By the buttons of its section, which say what is possible; the log says who it was."""
    caplog.set_level(logging.INFO)
    log_in(client)
    for button, name, paused in (
        ("Pause", "paused", {"app": "requested"}),
        ("Resume", "resumed", {}),
    ):
        answer = post_form(client, forms(section(client, "app"))[button])
        assert answer.headers["Location"] == f"{PATH}?done={name}"
        assert store.deliveries.paused() == paused
        assert f"The endpoint is {name}" in text_of(page(client, answer.headers["Location"]))
        assert button not in forms(section(client, "app"))
        [line] = [vars(each) for each in caplog.records if f"{name} on" in each.message]
        assert (line["token"], line["endpoint"]) == (TOKENS[1].fingerprint, "app")


@pytest.mark.parametrize("action", ["pause", "resume", "test", "replay"])
@pytest.mark.parametrize("name", ["x", "App", "app%20", "\u00fc", "a" * 1000])
def test_an_unknown_endpoint_is_a_page(client: FlaskClient, action: str, name: str) -> None:
    """404, and nothing is stored."""
    log_in(client)
    answer = post_form(client, f"{PATH}/{name}/{action}", since="2026-01-01")
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    if action == "replay":
        page(client, f"{PATH}/{name}/replay", 404)


def test_a_sample_shows_that_an_endpoint_works(client: FlaskClient, server: EndpointServer) -> None:
    """The application gets it."""
    log_in(client)
    answer = post_form(client, forms(section(client, "here"))["Send a sample"])
    assert "It was delivered: the endpoint works." in answer.text
    assert server.visits == 1


def test_a_sample_that_succeeds_says_what_still_waits(
    client: FlaskClient, store: MessageStore
) -> None:
    """A sample neither closes the breaker nor ends a pause, and can be sent again."""
    log_in(client)
    store.deliveries.open_breaker("here", "timeout", at(60))
    answer = post_form(client, forms(section(client, "here"))["Send a sample"])
    assert "still wait for the next probe" in answer.text
    store.deliveries.pause("here", "requested")
    again = post_form(client, forms(html.fromstring(answer.text))["Send another sample"])
    assert "It is still paused" in again.text


def test_a_sample_that_fails_says_what_may_help(client: FlaskClient) -> None:
    """In place of a status."""
    log_in(client)
    answer = post_form(client, forms(section(client, "log"))["Send a sample"])
    assert answer.status_code == 200
    assert "The host has no address that GoMail may connect to." in answer.text
    assert "never connects to link-local" in answer.text


def test_without_endpoints_the_page_says_how_to_add_one(client: FlaskClient) -> None:
    """With the line for the configuration."""
    services = client.application.extensions["gomail"]
    object.__setattr__(services, "endpoints", ())
    document = page(log_in(client), PATH)
    assert "No endpoints yet" in text_of(document)
    assert "webhook_url: https://" in text_of(document, "pre")


def test_an_endpoint_that_was_removed_is_shown(client: FlaskClient, store: MessageStore) -> None:
    """While it has deliveries: nothing can be done with it but to look at them."""
    log_in(client)
    add_for(store, "old")
    assert "It is not in the configuration." in words(section(client, "old"))
    assert forms(section(client, "old")) == {}


def test_a_replay_asks_first(client: FlaskClient, store: MessageStore, caplog: Any) -> None:
    """How many messages match; nothing happens before its button is pressed."""
    caplog.set_level(logging.INFO)
    log_in(client)
    send(client)
    send(client, b"From: a@example.org\r\nTo: eve@example.com\r\n\r\n")
    path = links(section(client, "app"))["Replay…"]
    assert forms(page(client, path)).keys() == {"Log out"}
    document = page(client, f"{path}?since=2026-03-01&until=&recipient=EVE@example.com")
    assert "1 message matches." in text_of(document)
    [form] = document.xpath("//main//form[@method='post']")
    fields = {each.get("name"): each.get("value") for each in form.iter("input")}
    assert fields == {"since": "2026-03-01", "recipient": "EVE@example.com"}
    assert store.deliveries.replays() == []
    answer = post_form(client, form.get("action"), **fields)
    assert answer.headers["Location"] == f"{PATH}?done=replayed"
    [replay] = store.deliveries.replays()
    assert (replay.endpoint, replay.recipient, replay.until) == ("app", "EVE@example.com", None)
    assert replay.since == at(-12 * 3600)
    assert "The replay has started" in text_of(page(client, answer.headers["Location"]))
    [line] = [vars(each) for each in caplog.records if "Replay started" in each.message]
    assert (line["token"], line["endpoint"]) == (TOKENS[1].fingerprint, "app")
    assert line["recipient"] == "EVE@example.com"


def test_a_replay_of_nothing_has_no_button(client: FlaskClient) -> None:
    """It says that nothing matches."""
    log_in(client)
    document = page(client, f"{PATH}/app/replay?since=2026-03-01")
    assert "No message matches." in text_of(document)
    assert forms(document).keys() == {"Log out"}


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("since=x", "since: Must be a time"),
        ("until=2026-03-01", "since: Missing data for required field."),
        ("since=2026-03-01&until=2026-02-01", "until: Must be later than since."),
        ("since=2026-03-01&rate=1", "rate: Is unknown"),
        ("since=2026-03-01&endpoint=log", "endpoint: Is unknown"),
    ],
)
def test_a_wrong_replay_is_refused(
    client: FlaskClient, store: MessageStore, query: str, named: str
) -> None:
    """By the question, and by the answer to it."""
    log_in(client)
    assert named in text_of(page(client, f"{PATH}/app/replay?{query}", 400))
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = client.post(f"{PATH}/app/replay", data=query, headers=FROM_THE_PAGE | kind)
    assert answer.status_code == 400
    assert store.deliveries.replays() == []


def test_a_replay_ignores_no_filter_in_its_url(client: FlaskClient, store: MessageStore) -> None:
    """It would replay more than was meant."""
    log_in(client)
    answer = post_form(client, f"{PATH}/app/replay?until=2026-03-02", since="2026-03-01")
    assert answer.status_code == 400
    assert store.deliveries.replays() == []


def test_deliveries_are_listed_by_endpoint_and_state(
    client: FlaskClient, store: MessageStore
) -> None:
    """Newest first, a page at a time, each with a link to its message."""
    log_in(client)
    receipts = [add_for(store, "app", seconds=seconds) for seconds in range(5)]
    add_for(store, "log")
    store.deliveries.finish([dead(each) for each in claim(store.deliveries, seconds=10)])
    path: str | None = links(section(client, "app"))["5 dead"]
    seen: list[str] = []
    while path:
        document = page(client, f"{path}&limit=2")
        found = document.xpath("//ol[@class='deliveries']/li/a/@href")
        assert len(found) <= 2
        assert "All attempts have failed." in text_of(document, "ol.deliveries")
        seen += found
        path = links(document).get("Older", "").replace("limit=2&", "") or None
    assert seen == [f"/inbox/{each.message_id}?tab=deliveries" for each in receipts[::-1]]
    empty = page(client, "/inbox/deliveries?endpoint=app&state=delivered")
    assert "No delivery matches." in text_of(empty)
    leading_on = links(empty)
    assert leading_on["Show all deliveries"] == "/inbox/deliveries"
    assert leading_on["Endpoints"] == PATH


def test_each_delivery_in_the_list_has_its_own_id(client: FlaskClient, store: MessageStore) -> None:
    """Esc leads back to it, also where a replay has made a second one of the same message."""
    log_in(client)
    add_for(store, "app")
    store.deliveries.finish([delivered(each) for each in claim(store.deliveries)])
    store.deliveries.advance_replay(store.deliveries.add_replay(Replay("app")), 10, at(10))
    ids = page(client, "/inbox/deliveries").xpath("//li/a/@id")
    assert len(ids) == len(set(ids)) == 2


def test_a_list_of_deliveries_that_stops_early_says_so(
    client: FlaskClient, store: MessageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older deliveries may match if too many were examined."""
    log_in(client)
    cut = DeliveryPage((), 5, has_more=True)
    monkeypatch.setattr(store.deliveries, "find", lambda _: cut)
    document = page(client, "/inbox/deliveries?recipient=a@b.example")
    assert "Older ones may match." in text_of(document)
    assert "No delivery matches" not in text_of(document)
    assert "before=" in links(document)["Older"]


@pytest.mark.parametrize("query", ["state=x", "x=1", "before=x", "after=", "state=dead&state=dead"])
def test_a_wrong_list_of_deliveries_is_refused(client: FlaskClient, query: str) -> None:
    """By a page."""
    log_in(client)
    status = 200 if query == "after=" else 400
    page(client, f"/inbox/deliveries?{query}", status)
