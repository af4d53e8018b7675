"""The page of one message: its views, its download, and its deletion."""

import logging
from typing import Any

import pytest
from flask.testing import FlaskClient
from support.deliveries import add_for, at, claim, dead, delivered, failed
from support.endpoints import endpoint
from support.inbox import forms, links, log_in, page, post_form, text_of
from support.reading import PNG, WITH_PARTS, get, send
from support.store import stored
from support.tokens import TOKENS

from app.deliveries.delivery_id import delivery_id
from app.errors import MessageCorrupt
from app.settings import Endpoint
from app.storage.delivery import DeliveryQuery, State
from app.storage.interface import MessageStore
from app.web.inbox.message_page import MOST_SOURCE_BYTES, MOST_TEXT, TABS

UNKNOWN = ["019ca945-0a00-7500-aede-d95b4b072cb8", "x", "overview2", "%00", "\u00fc", "a" * 5000]


@pytest.fixture
def endpoints() -> tuple[Endpoint, ...]:
    """Return an endpoint that deliveries can be for."""
    return (endpoint("app"),)


def test_the_text_is_shown_first(client: FlaskClient) -> None:
    """With what the header says of people and time, decoded."""
    document = page(log_in(client), f"/inbox/{send(client)}")
    assert text_of(document, "h1") == "Grüße"
    assert text_of(document, "pre.text") == "Grüße"
    described = text_of(document, "section.view")
    assert "From Jürgen <ann@example.org>" in described
    assert "Date 2026-03-02 10:00:00 +0100" in described


def test_each_view_is_a_link(client: FlaskClient) -> None:
    """And the one that is shown is marked, for those who don't see it."""
    path = f"/inbox/{send(client)}"
    document = page(log_in(client), path)
    for name, label in TABS.items():
        target = f"{path}?tab={name}"
        shown = "Attachments (2)" if name == "attachments" else label
        assert links(document)[shown] == target
        [current] = page(client, target).xpath("//nav[@aria-label]//a[@aria-current]/@href")[1:]
        assert current == target


def test_html_is_in_an_opaque_frame(client: FlaskClient) -> None:
    """Without scripts, forms and this page's origin, and remote pictures only when asked for."""
    raw = b"From: a@example.org\r\nTo: b@example.com\r\nContent-Type: text/html\r\n\r\n<b>Hi</b>"
    path = f"/inbox/{send(client, raw)}"
    document = page(log_in(client), f"{path}?tab=html")
    [frame] = document.iter("iframe")
    assert frame.get("src") == f"{path}/html"
    assert frame.get("title")
    allowed = {"allow-popups", "allow-popups-to-escape-sandbox"}
    assert set(frame.get("sandbox").split()) == allowed
    remote = page(client, links(document)["Load remote pictures"])
    [frame] = remote.iter("iframe")
    assert (frame.get("src"), set(frame.get("sandbox").split())) == (
        f"{path}/html?remote=1",
        allowed,
    )
    [frame] = page(client, links(remote)["Block them again"]).iter("iframe")
    assert frame.get("src") == f"{path}/html"


@pytest.mark.parametrize(
    ("raw", "tab", "text"),
    [
        (WITH_PARTS, "html", "The message has no HTML."),
        (b"From: a@example.org\r\nTo: b@example.com\r\n\r\n", "text", "The message has no text."),
        (b"From: a@example.org\r\nTo: b@example.com\r\n\r\nx", "attachments", "no attachments"),
        (b"From: a@example.org\r\nTo: b@example.com\r\n\r\nx", "deliveries", "no deliveries"),
    ],
)
def test_what_is_not_there_is_said(client: FlaskClient, raw: bytes, tab: str, text: str) -> None:
    """Rather than shown as an empty page."""
    assert text in text_of(page(log_in(client), f"/inbox/{send(client, raw)}?tab={tab}"))


def test_headers_are_shown_in_order_and_decoded(client: FlaskClient) -> None:
    """And what the relay has said."""
    path = f"/inbox/{send(client, X_Original_Queue_Id='A1', X_Original_Helo='mx.example.org')}"
    document = page(log_in(client), f"{path}?tab=headers")
    names = [each.text_content() for each in document.xpath("//tbody/tr/th")]
    assert names == ["From", "To", "Message-ID", "Subject", "Date", "Content-Type"]
    assert "Subject Grüße" in text_of(document, "tbody")
    assert "Queue id A1" in text_of(document)
    assert "HELO mx.example.org" in text_of(document)


def test_the_source_is_shown_as_it_came(client: FlaskClient) -> None:
    """Byte by byte, as far as bytes are text."""
    document = page(log_in(client), f"/inbox/{send(client)}?tab=source")
    [source] = document.xpath("//pre")
    assert source.text_content().split() == WITH_PARTS.decode("utf-8", "replace").split()


def test_large_texts_are_cut(client: FlaskClient) -> None:
    """In the text and in the source; a link has all of it."""
    raw = b"From: a@example.org\r\nTo: b@example.com\r\n\r\n" + b"word " * 200_000
    path = f"/inbox/{send(log_in(client), raw)}"
    for tab, most in (("text", MOST_TEXT), ("source", MOST_SOURCE_BYTES)):
        document = page(client, f"{path}?tab={tab}")
        assert len(document.xpath("//pre")[0].text_content()) <= most
        assert links(document)["Download the message"] == f"{path}/raw"


def test_attachments_are_listed_and_downloaded(client: FlaskClient) -> None:
    """As files, with the type only if no browser runs it."""
    path = f"/inbox/{send(client)}"
    document = page(log_in(client), f"{path}?tab=attachments")
    assert "Grüße.png image/png 18 bytes" in text_of(document, "tbody")
    assert links(document)["Grüße.png"] == f"{path}/parts/2"
    assert links(document)["Part 3"] == f"{path}/parts/3"
    picture, svg = (client.get(f"{path}/parts/{part}") for part in "23")
    assert (picture.data, picture.mimetype) == (PNG, "image/png")
    assert svg.mimetype == "application/octet-stream"
    for answer in (picture, svg):
        assert answer.headers["Content-Disposition"].startswith("attachment;")
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_message_is_downloaded_as_it_came(client: FlaskClient) -> None:
    """As a file, and not into the browser's cache."""
    message_id = send(client)
    path = links(page(log_in(client), f"/inbox/{message_id}"))["Download"]
    answer = client.get(path)
    assert answer.data == WITH_PARTS
    assert f'attachment; filename="{message_id}.eml"' == answer.headers["Content-Disposition"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_deletion_asks_first(client: FlaskClient, store: MessageStore) -> None:
    """On a page with what would go; nothing is deleted before its button is pressed."""
    message_id, kept = send(client), send(client, WITH_PARTS + b"other")
    path = links(page(log_in(client), f"/inbox/{message_id}"))["Delete…"]
    document = page(client, path)
    assert "Grüße" in text_of(document)
    assert links(document)["Keep it"] == f"/inbox/{message_id}"
    assert set(stored(store)) == {message_id, kept}
    answer = post_form(client, forms(document)["Delete permanently Keep it"])
    assert answer.status_code == 303
    assert set(stored(store)) == {kept}
    assert "The message was deleted." in text_of(page(client, answer.headers["Location"]))
    assert post_form(client, path).status_code == 404  # it was already
    page(client, f"/inbox/{message_id}", 404)


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_message_is_a_page(client: FlaskClient, name: str) -> None:
    """Of all its views, and of its deletion."""
    log_in(client)
    for more in ("", "?tab=html", "/raw", "/parts/1", "/delete"):
        page(client, f"/inbox/{name}{more}", 404)
    assert post_form(client, f"/inbox/{name}/delete").status_code == 404


@pytest.mark.parametrize("query", ["tab=x", "tab=", "tab=text&tab=html", "x=1", "remote=2"])
def test_a_wrong_parameter_is_refused(client: FlaskClient, query: str) -> None:
    """By a page that names it."""
    document = page(log_in(client), f"/inbox/{send(client)}?{query}", 400)
    assert query.partition("=")[0] in text_of(document)


def test_a_damaged_message_says_so(
    client: FlaskClient, store: MessageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its envelope and deliveries are still shown, and it can be deleted."""
    log_in(client)
    message_id = add_for(store, "app").message_id

    def fail(*_: str) -> None:
        raise MessageCorrupt

    monkeypatch.setattr(store, "read", fail)
    monkeypatch.setattr(store, "find", lambda each: (store.get(each), fail))
    for tab in TABS:
        text = text_of(page(client, f"/inbox/{message_id}?tab={tab}"))
        assert ("damaged" in text) == (tab != "deliveries")
        assert "bob@example.com" in text
    assert "app pending" in text
    page(client, f"/inbox/{message_id}/raw", 500)
    assert post_form(client, f"/inbox/{message_id}/delete").status_code == 303
    assert stored_ids(store) == set()


def stored_ids(store: MessageStore) -> set[str]:
    """Return the ids of what is stored."""
    return set(store.ids_with_prefix("", 10))


def test_a_failed_delivery_explains_itself(client: FlaskClient, store: MessageStore) -> None:
    """Why, when it is tried again, and what each attempt has met."""
    log_in(client)
    message_id = add_for(store, "app").message_id
    store.deliveries.finish([failed(claim(store.deliveries)[0], due=30)])
    text = text_of(page(client, f"/inbox/{message_id}?tab=deliveries"), "section.delivery")
    assert "app pending" in text
    assert "The endpoint refused the message: its answer is not 2xx." in text
    assert "Next attempt 2026-03-01 12:00:30 UTC" in text
    assert "2026-03-01 12:00:00 UTC, 192.0.2.1, status 500, 12 ms" in text


def test_a_delivery_says_that_its_endpoint_is_paused(
    client: FlaskClient, store: MessageStore
) -> None:
    """Or it would seem to wait for nothing."""
    log_in(client)
    message_id = add_for(store, "app").message_id
    store.deliveries.pause("app", "requested")
    document = page(client, f"/inbox/{message_id}?tab=deliveries")
    assert "its endpoint is paused" in text_of(document)
    assert links(document)["Resume the endpoint"] == "/inbox/endpoints"
    assert forms(document).keys() == {"Log out"}  # a retry would wait, too


@pytest.mark.parametrize(("ending", "label"), [(dead, "Retry now"), (delivered, "Send again")])
def test_a_delivery_is_retried(
    client: FlaskClient, store: MessageStore, ending: Any, label: str, caplog: Any
) -> None:
    """Whatever came of it: it is due now, a link shows what comes of it; the log says who."""
    caplog.set_level(logging.INFO)
    log_in(client)
    message_id = add_for(store, "app").message_id
    store.deliveries.finish([ending(claim(store.deliveries)[0])])
    document = page(client, f"/inbox/{message_id}?tab=deliveries")
    answer = post_form(client, forms(document)[label])
    assert answer.headers["Location"] == f"/inbox/{message_id}?tab=deliveries&done=retried"
    [delivery] = store.deliveries.find(DeliveryQuery()).deliveries
    assert (delivery.state, delivery.attempts) == (State.PENDING, 0)
    retried = page(client, answer.headers["Location"])
    assert "The delivery is due now, with 15 new attempts." in text_of(retried)
    later = page(client, links(retried)["See what came of it"])
    assert "0 of 15 used" in text_of(later)
    assert "is due now" not in text_of(later)
    [line] = [vars(each) for each in caplog.records if "retried" in each.message]
    assert (line["token"], line["message_id"]) == (TOKENS[1].fingerprint, message_id)
    assert line["delivery"] == delivery_id(delivery.number)


def test_a_message_can_be_replayed_to_an_endpoint_that_never_got_it(
    client: FlaskClient, store: MessageStore
) -> None:
    """A link leads to the replay of this message alone; none where there is a delivery."""
    log_in(client)
    with_delivery = add_for(store, "app").message_id
    assert "app" not in links(page(client, f"/inbox/{with_delivery}?tab=deliveries"))
    without = add_for(store, seconds=0.001).message_id
    add_for(store, seconds=0.002)
    document = page(client, links(page(client, f"/inbox/{without}?tab=deliveries"))["app"])
    assert "1 message matches." in text_of(document)
    [form] = document.xpath("//main//form[@method='post']")
    fields = {each.get("name"): each.get("value") for each in form.iter("input")}
    assert post_form(client, form.get("action"), **fields).status_code == 303
    [replay] = store.deliveries.replays()
    assert store.deliveries.advance_replay(replay.number, 10, at(60)) == 1
    [newest, *_] = store.deliveries.find(DeliveryQuery()).deliveries
    assert newest.message_id == without


def test_an_unknown_delivery_is_not_retried(client: FlaskClient) -> None:
    """404, as for the API."""
    log_in(client)
    for name in ("x", delivery_id(7)):
        assert post_form(client, f"/inbox/deliveries/{name}/retry").status_code == 404


def test_a_deletion_is_logged(client: FlaskClient, caplog: Any) -> None:
    """With the token's fingerprint and the message's id."""
    caplog.set_level(logging.INFO)
    message_id = send(log_in(client))
    post_form(client, f"/inbox/{message_id}/delete")
    [line] = [vars(each) for each in caplog.records if "deleted on" in each.message]
    assert (line["token"], line["message_id"]) == (TOKENS[1].fingerprint, message_id)
    assert get(client, f"/messages/{message_id}").status_code == 404


def test_web_addresses_in_the_text_are_links(client: FlaskClient) -> None:
    """Which open in a new tab, and tell the other site nothing."""
    body = b"See https://example.org/a?b=c&d=e, or (http://example.com). No: ftp://x javascript:y"
    raw = b"From: a@example.org\r\nTo: b@example.com\r\n\r\n" + body
    document = page(log_in(client), f"/inbox/{send(client, raw)}")
    assert text_of(document, "pre.text") == body.decode()
    found = document.xpath("//pre//a")
    assert [a.get("href") for a in found] == ["https://example.org/a?b=c&d=e", "http://example.com"]
    for each in found:
        assert {"noopener", "noreferrer"} <= set(each.get("rel").split())
        assert each.get("target") == "_blank"
