"""GET /messages."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from support.application import API_AUTHORIZATION, AUTHORIZATION
from support.clock import Clock
from support.reading import WITH_PARTS, get, ids, listed, send, send_numbered

from app.reading.cursor import make_cursor
from app.storage.interface import MessageStore, Query
from app.storage.sqlite.store import SQLiteStore

OTHER_STORE = make_cursor(b"another!", 1)


def test_a_message_is_listed_as_it_is_stored(client: FlaskClient) -> None:
    """With what the index knows about it, and the envelope."""
    message_id = send(client, X_Original_Sender="", X_Original_Queue_Id="4TBk1z")
    [summary] = listed(client)["messages"]
    assert summary["id"] == message_id
    assert summary["size"] == len(WITH_PARTS)
    assert summary["subject"] == "Grüße"
    assert summary["received_at"] == "2026-03-01T12:00:00+00:00"
    assert summary["envelope"] == {
        "sender": "",
        "recipient": "bob@example.com",
        "mail_from": None,
        "queue_id": "4TBk1z",
        "client_address": None,
        "client_hostname": None,
        "helo": None,
    }


def by_links(client: FlaskClient, first: str) -> Iterator[list[str]]:
    """Yield the ids of each page, as a client that follows `Link` sees them."""
    path: str | None = first
    while path is not None:
        answer = get(client, path)
        assert answer.status_code == 200
        yield ids(answer.get_json())
        link = answer.headers.get("Link")
        assert (link is None) == (answer.get_json()["next"] is None)
        if link is None or not answer.get_json()["has_more"]:
            return
        assert link.endswith('>; rel="next"')
        path = link.removeprefix("<").removesuffix('>; rel="next"')


@pytest.mark.parametrize("limit", [1, 3, 4, 200])
def test_pages_lead_through_the_list(client: FlaskClient, limit: int) -> None:
    """Newest first without a cursor, oldest first with `after`; filters stay as they are."""
    sent = send_numbered(client, 4)
    send_numbered(client, 2, "carl@example.com")
    newest = list(by_links(client, f"/messages?limit={limit}&recipient=Bob%40example.com"))
    assert [each for page in newest for each in page] == sent[::-1]
    assert max(map(len, newest)) == min(limit, 4)
    oldest = list(by_links(client, f"/messages?after=&recipient=bob@example.com&limit={limit}"))
    assert [each for page in oldest for each in page] == sent


def test_a_reader_goes_on_where_it_stopped(client: FlaskClient) -> None:
    """With `after` there is always a `next`, which returns the messages that arrived meanwhile."""
    page = listed(client, "?after=")
    assert (page["messages"], page["has_more"]) == ([], False)
    first = send_numbered(client, 2)
    page = listed(client, f"?after={page['next']}")
    assert ids(page) == first
    again = listed(client, f"?after={page['next']}")
    assert (again["messages"], again["next"]) == ([], page["next"])
    get(client, f"/messages/{first[1]}", "DELETE")
    new = send(client)
    assert ids(listed(client, f"?after={page['next']}")) == [new]


def test_each_message_has_its_cursor(client: FlaskClient) -> None:
    """It works with `after` and with `before`."""
    sent = send_numbered(client, 3)
    middle = listed(client)["messages"][1]
    assert middle["id"] == sent[1]
    assert ids(listed(client, f"?after={middle['cursor']}")) == sent[2:]
    assert ids(listed(client, f"?before={middle['cursor']}")) == sent[:1]


def test_an_empty_place_is_where_a_list_begins(client: FlaskClient) -> None:
    """At the newest message or before all of them, so that a loop needs no first case."""
    sent = send_numbered(client, 3)
    assert ids(listed(client, "?before=")) == sent[::-1]
    assert ids(listed(client, "?after=")) == sent


def test_each_filter_filters(client: FlaskClient, clock: Clock[datetime]) -> None:
    """Each filter finds only the matching one of two messages."""
    send_numbered(client, 1, "carl@example.com")
    clock.now += timedelta(days=1)
    wanted = send(client, X_Original_Queue_Id="4TBk1z", X_Original_Sender="Ann@Example.org")
    for query in (
        "recipient=bob@example.com",
        "sender=ann@example.org",
        "subject=GR%C3%9CSSE",
        "queue_id=4TBk1z",
        "header_message_id=a@example.org",
        f"header_message_id={quote('<a@example.org>')}",
        "since=2026-03-02",
        "since=2026-03-02T13%3A00%3A00%2B01:00",
    ):
        assert ids(listed(client, f"?{query}")) == [wanted], query
    assert ids(listed(client, "?until=2026-03-02T12:00:00Z&recipient=bob@example.com")) == []
    bounce = send(client, WITH_PARTS + b"x", X_Original_Sender="")
    for query in ("sender=", "sender=%3C%3E"):
        assert ids(listed(client, f"?{query}")) == [bounce]


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("recipent=a@b", "recipent", "recipient"),
        ("limit=1&limit=2", "limit", "once"),
        ("limit=0", "limit", "1"),
        ("limit=201", "limit", "200"),
        ("limit=x", "limit", "digits"),
        ("limit=%D9%A3", "limit", "digits"),
        ("limit=1_0", "limit", "digits"),
        ("limit=", "limit", "digits"),
        ("wait=21&after=", "wait", "20"),
        ("wait=-1&after=", "wait", "digits"),
        ("wait=1", "wait", "after"),
        ("after=&before=x", "before", "after"),
        ("since=yesterday", "since", "2026-01-31"),
        ("since=2026-01-31T12:00:00+01:00", "since", "%2B"),
        ("until=0001-01-01T00:00:00%2B23:59", "until", "2026-01-31"),
        ("recipient=", "recipient", "1"),
        ("recipient=bob+tests@example.com", "recipient", "%2B"),
        ("sender=ann+tests@example.com", "sender", "%2B"),
        ("subject=" + "x" * 1001, "subject", "1000"),
    ],
)
def test_wrong_parameters_are_named(
    client: FlaskClient, query: str, field: str, words: str
) -> None:
    """The answer 400 names the parameter, and says what would be right."""
    answer = get(client, f"/messages?{query}")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_request")
    [fault] = answer.get_json()["errors"]
    assert fault["field"] == field
    assert words in fault["message"]


@pytest.mark.parametrize("name", ["after", "before"])
@pytest.mark.parametrize("cursor", ["x", OTHER_STORE, "../..", "%00", "A" * 10_000])
def test_a_wrong_cursor_is_refused(client: FlaskClient, name: str, cursor: str) -> None:
    """Including one from another store, whose number could skip messages here."""
    answer = get(client, f"/messages?{name}={cursor}")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_request")
    assert ("another store" in answer.get_json()["detail"]) == (cursor == OTHER_STORE)


@pytest.mark.parametrize(
    "path", ["/messages", "/messages/x", "/messages/x/raw", "/messages/x/parts/1"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_body_is_refused(client: FlaskClient, path: str, method: str) -> None:
    """A filter in the body would be ignored, and the answer would contain too much."""
    answer = client.open(path, method=method, data=b'{"limit": 1}', headers=API_AUTHORIZATION)
    assert answer.status_code == 400


def test_any_accept_is_answered(client: FlaskClient) -> None:
    """Answers have only one form, and HTTP allows ignoring Accept (RFC 9110 section 12.4.1)."""
    assert get(client, "/messages", Accept="image/png").status_code == 200


def test_reading_changes_nothing(client: FlaskClient, store: MessageStore) -> None:
    """No GET changes the store."""
    message_id = send(client)
    before = list(store.search(Query())), store.statistics()
    for path in ("", "?after=", f"/{message_id}", f"/{message_id}/raw", f"/{message_id}/parts/2"):
        assert get(client, f"/messages{path}").status_code == 200
    assert (list(store.search(Query())), store.statistics()) == before


@pytest.mark.parametrize("path", ["", "?limit=0", "/x", "/x/raw"])
def test_answers_are_private(client: FlaskClient, path: str) -> None:
    """Not for shared caches, revalidated each time, and not for scripts of other sites."""
    answer = get(client, f"/messages{path}", Origin="https://evil.example")
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("query", ["subject=%FF", "recipient=a%F0%28@b", "%FF=1", "\xff=1"])
def test_what_is_not_utf_8_is_refused(client: FlaskClient, query: str) -> None:
    """Nobody knows what it was to find."""
    override = {"QUERY_STRING": query}
    answer = client.get("/messages", headers=API_AUTHORIZATION, environ_overrides=override)
    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_request")
    assert "UTF-8" in answer.get_json()["detail"]


@pytest.mark.parametrize("path", ["", "/delete", "/x", "/x/raw", "/x/parts/1"])
@pytest.mark.parametrize("headers", [{}, AUTHORIZATION, API_AUTHORIZATION])
def test_nor_may_anybody_keep_a_refusal(
    client: FlaskClient, path: str, headers: dict[str, str]
) -> None:
    """Whatever it is for: the token, the method, the id or the body."""
    for method in ("GET", "PUT", "OPTIONS"):
        answer = client.open(f"/messages{path}", method=method, headers=headers, data=b"x")
        assert answer.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("store", [SQLiteStore], indirect=True)
def test_a_store_that_cannot_be_read_is_unavailable(client: FlaskClient, data_dir: Path) -> None:
    """503 from every route, with Retry-After and without a path."""
    message_id = send(client)
    for path in data_dir.glob("gomail.db*"):
        path.write_bytes(b"garbage" * 1000)
    asked = [
        get(client, f"/messages{rest}")
        for rest in ("", "?after=&wait=5", f"/{message_id}", f"/{message_id}/raw")
    ]
    asked.append(get(client, f"/messages/{message_id}", "DELETE"))
    for answer in asked:
        assert (answer.status_code, answer.get_json()["code"]) == (503, "storage_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert str(data_dir) not in answer.get_data(as_text=True)


@pytest.mark.parametrize("store", [SQLiteStore], indirect=True)
def test_cursors_need_the_stores_id(client: FlaskClient, data_dir: Path) -> None:
    """503 if its file is damaged, since all cursors would seem to be from another store."""
    send(client)
    (data_dir / "store-id").write_text("damaged")
    assert get(client, "/messages").get_json()["code"] == "storage_unavailable"
    (data_dir / "store-id").unlink()
    assert len(ids(listed(client))) == 1
