"""The list of messages: newest first, a page at a time, searched by the API's filters."""

from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from lxml import html
from support.clock import Clock
from support.inbox import links, log_in, page, text_of
from support.reading import ids, listed, send, send_numbered

from app.errors import StorageUnavailable
from app.storage.interface import MessageStore

RAW = b"From: %s\r\nTo: %s\r\nSubject: %s\r\nMessage-ID: <%d@example.org>\r\n\r\nBody"


def shown(document: html.HtmlElement) -> list[str]:
    """Return the ids of the messages in a list, in its order."""
    found = document.xpath("//ol[contains(@class, 'messages')]/li/a/@href")
    return [path.removeprefix("/inbox/") for path in found]


def deliver(
    client: FlaskClient,
    number: int,
    sender: str = "ann@example.org",
    recipient: str = "bob@example.com",
    subject: str = "Hello",
) -> str:
    """Deliver a message and return its id."""
    raw = RAW % (sender.encode(), recipient.encode(), subject.encode(), number)
    return send(client, raw, X_Original_Queue_Id=f"queue{number}")


def test_an_empty_inbox_says_what_to_do(client: FlaskClient) -> None:
    """With a line for curl that only lacks the token, for the host that was asked."""
    log_in(client)
    document = page(client, "/inbox")
    assert "No messages yet" in text_of(document)
    line = document.xpath("string(//pre)")
    assert "'Subject: Hello from curl\n\nIt works.'" in line  # so that there is a text to read
    assert "http://localhost/mail/inbound" in line
    assert shown(document) == []


def test_the_newest_come_first(client: FlaskClient) -> None:
    """Each with sender, recipient, subject, time and size, and a link to it."""
    log_in(client)
    first = deliver(client, 1, subject="First")
    second = deliver(client, 2, subject="=?utf-8?q?Gr=C3=BC=C3=9Fe?=")
    document = page(client, "/inbox")
    assert shown(document) == [second, first]
    newest = " ".join(document.xpath("//ol/li[1]")[0].text_content().split())
    assert newest == ("ann@example.org to bob@example.com Grüße 2026-03-01 12:00:00 UTC 117 bytes")


def test_a_bounce_and_a_message_without_a_subject_can_be_seen(client: FlaskClient) -> None:
    """What is empty has a text, or there would be nothing to click."""
    log_in(client)
    send(client, b"From: a@example.org\r\nTo: bob@example.com\r\n\r\n", X_Original_Sender="")
    assert "<> to bob@example.com (no subject)" in text_of(page(client, "/inbox"), "ol.messages")


def test_pages_go_on_in_both_directions(client: FlaskClient) -> None:
    """Back to older messages, forth to newer ones, and nothing is missed or shown twice."""
    log_in(client)
    sent = send_numbered(client, 7)[::-1]
    path, seen = "/inbox?limit=3", []
    while path:
        document = page(client, path)
        seen.append(shown(document))
        path = links(document).get("Older", "")
    assert seen == [sent[:3], sent[3:6], sent[6:]]
    path = links(document)["Newer"]
    assert shown(page(client, path)) == sent[3:6]
    path = links(page(client, path))["Newer"]
    assert shown(page(client, path)) == sent[:3]
    document = page(client, links(page(client, path))["Newer"])
    assert shown(document) == []
    assert "No more messages" in text_of(document)
    assert shown(page(client, links(document)["Show the newest messages"])) == sent[:3]


def test_without_a_script_a_link_leads_to_newer_mail(client: FlaskClient) -> None:
    """Of the first page, too: it shows what has come since, and only that."""
    log_in(client)
    send_numbered(client, 2)
    newer = links(page(client, "/inbox"))["Check for newer messages"]
    assert shown(page(client, newer)) == []
    arrived = send(client)
    assert shown(page(client, newer)) == [arrived]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"subject": "invoice"}, [2]),
        ({"subject": "INVOICE 7"}, [2]),
        ({"recipient": "EVE@example.com"}, [3]),
        ({"sender": "carl@example.org"}, [4]),
        ({"sender": "<>"}, []),
        ({"queue_id": "queue3"}, [3]),
        ({"header_message_id": "<2@example.org>"}, [2]),
        ({"header_message_id": "4@example.org"}, [4]),
        ({"since": "2026-03-01"}, [4, 3, 2, 1]),
        ({"since": "2026-03-02"}, []),
        ({"until": "2026-03-01"}, []),
        ({"until": "2026-03-01T12:00:01Z", "subject": "hello"}, [4, 3, 1]),
        ({"subject": "", "sender": "", "recipient": " "}, [4, 3, 2, 1]),
    ],
)
def test_the_search_has_the_filters_of_the_api(
    client: FlaskClient, filters: dict[str, str], expected: list[int]
) -> None:
    """A field that is left empty is none; what was searched for stays in its field."""
    log_in(client)
    sent = [
        deliver(client, 1),
        deliver(client, 2, subject="Your Invoice 7"),
        deliver(client, 3, recipient="eve@example.com"),
        deliver(client, 4, sender="carl@example.org"),
    ]
    document = page(client, f"/inbox?{urlencode(filters)}")
    assert shown(document) == [sent[number - 1] for number in expected]
    for name, value in filters.items():
        [field] = document.xpath(f"//form[@role='search']//input[@name='{name}']")
        assert field.get("value") == value.strip()
    given = {name: value for name, value in filters.items() if value.strip()}
    assert ids(listed(client, f"?{urlencode(given)}")) == shown(document)
    assert (not expected) == ("No message matches the search" in text_of(document))


def test_the_filters_stay_on_the_next_page(client: FlaskClient) -> None:
    """Otherwise the second page would be of another list."""
    log_in(client)
    sent = [deliver(client, n, subject="Even" if n % 2 == 0 else "Odd") for n in range(6)]
    document = page(client, "/inbox?subject=even&limit=2")
    assert shown(document) == [sent[4], sent[2]]
    assert shown(page(client, links(document)["Older"])) == [sent[0]]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("since=yesterday", "since: Must be a time such as"),
        ("recipient=bob+tag@example.com", "recipient: An address has no space in it"),
        ("limit=0", "limit: "),
        ("limit=x", "limit: Must be a whole number"),
        ("subjct=x", "subjct: Is unknown. The nearest name is subject"),
        ("wait=1", "wait: Is unknown"),
        ("after=x&before=y", "before: Can't be used together with after"),
        ("subject=a&subject=b", "only once"),
        (f"subject={'a' * 1001}", "subject: "),
        ("done=hello", "done: "),
        ("before=x", "cursor is invalid"),
        ("subject=%ff", "not UTF-8"),
    ],
)
def test_a_wrong_search_says_what_is_wrong(client: FlaskClient, query: str, named: str) -> None:
    """On the page, beside what was typed."""
    log_in(client)
    send(client)
    document = page(client, f"/inbox?{query}", 400)
    assert named in text_of(document)
    assert shown(document) == []


def test_what_was_typed_wrongly_stays_in_its_field(client: FlaskClient) -> None:
    """It can be mended rather than typed again."""
    log_in(client)
    document = page(client, "/inbox?since=yesterday&subject=hello", 400)
    values = {each.get("name"): each.get("value") for each in document.iter("input")}
    assert (values["since"], values["subject"]) == ("yesterday", "hello")


def test_new_messages_are_there_for_the_script(client: FlaskClient) -> None:
    """From the cursor of the list on: the rows as the list would show them, and the next cursor."""
    log_in(client)
    send_numbered(client, 2)
    [url] = page(client, "/inbox").xpath("//ol/@data-live-url")
    answer = client.get(url).get_json()
    assert (answer["count"], answer["rows"].strip(), answer["has_more"]) == (0, "", False)
    arrived = [deliver(client, 2), deliver(client, 1)][::-1]
    for path in (url, f"/inbox/newer?after={answer['next']}"):
        found = client.get(path).get_json()
        assert found["count"] == 2
        rows = html.fragment_fromstring(found["rows"], create_parent="ol")
        assert [each.get("href").removeprefix("/inbox/") for each in rows.iter("a")] == arrived
    last = client.get(f"/inbox/newer?after={found['next']}&wait=0").get_json()
    assert (last["count"], last["next"]) == (0, found["next"])


def test_the_script_waits_for_what_the_list_shows(client: FlaskClient) -> None:
    """With the filters of the list; a list of older messages isn't kept up to date."""
    log_in(client)
    deliver(client, 1)
    [url] = page(client, "/inbox?subject=invoice").xpath("//ol/@data-live-url")
    deliver(client, 2)
    wanted = deliver(client, 3, subject="Invoice")
    answer = client.get(url).get_json()
    assert answer["count"] == 1
    assert wanted in answer["rows"]
    older = links(page(client, "/inbox?limit=1"))["Older"]
    assert page(client, older).xpath("//ol/@data-live-url") == []


@pytest.mark.parametrize("query", ["", "after=x", "after=&wait=21", "after=&x=1", "before=&wait=1"])
def test_a_script_that_asks_wrongly_is_told_in_a_document(client: FlaskClient, query: str) -> None:
    """Not in a page."""
    log_in(client)
    answer = client.get(f"/inbox/newer?{query}")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_request")


def test_looking_changes_nothing(client: FlaskClient, clock: Clock[datetime]) -> None:
    """Messages aren't marked as read: two looks, an hour apart, show the same."""
    log_in(client)
    send_numbered(client, 3)
    before = client.get("/inbox").text
    clock.now = datetime(2026, 3, 1, 13, tzinfo=UTC)
    assert client.get("/inbox").text == before


def test_a_store_that_cannot_be_read_is_a_page(
    client: FlaskClient, store: MessageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503, and when to try again."""
    log_in(client)

    def fail(*_: object) -> None:
        raise StorageUnavailable

    monkeypatch.setattr(store, "page", fail)
    answer = client.get("/inbox")
    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    assert answer.headers["Retry-After"] == "5"
    assert "The store can't be used at the moment." in text_of(html.fromstring(answer.text))
