"""Requests drawn at random, through the whole application: refused or taken in, never a failure."""

import json

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.application import API_AUTHORIZATION, AUTHORIZATION
from support.reading import send
from support.rounds import rounds

from app.storage.interface import MessageStore
from app.storage.memory import MemoryStore

RAW = b"From: ann@example.org\r\nTo: bob@example.com\r\nSubject: Hi\r\n\r\nBody"

drawn = settings(
    max_examples=rounds(1000, 60), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# What WSGI hands over: each byte that HTTP allows in a field, as Latin-1 (PEP 3333).
values = st.text(
    st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=200
) | st.sampled_from(["", "<>", "a@example.com", "b@example.org", "(" * 999, '"@', "a@[", "=?x?q?"])
names = st.sampled_from(
    [
        *("X-Original-Sender", "X-Original-Recipient", "X-Original-Mail-From"),
        *("X-Original-Client-Address", "X-Original-Client-Hostname", "X-Original-Helo"),
        *("X-Original-Queue-Id", "Idempotency-Key", "X-Request-ID", "X-Forwarded-For"),
        *("X-Real-IP", "Content-Type", "Content-Encoding", "Authorization", "Host", "Accept"),
        *("Cookie", "Range", "If-None-Match", "Expect", "Forwarded"),
    ]
)
bodies = (
    st.binary()
    | st.just(RAW)
    | st.binary().map(lambda tail: RAW + tail)
    | st.dictionaries(st.sampled_from(["from", "to", "raw", "subject", "body"]), st.text()).map(
        lambda members: json.dumps(members).encode()
    )
)


@pytest.fixture
def store() -> MessageStore:
    """Return one store: what is drawn here never gets to see which."""
    return MemoryStore()


@drawn
@given(headers=st.dictionaries(names, values, max_size=8), body=bodies)
def test_any_headers_any_body(client: FlaskClient, headers: dict[str, str], body: bytes) -> None:
    """The answer has a status below 500, its id, and a document; 4xx are problem documents."""
    answer = client.post("/mail/inbound", data=body, headers=AUTHORIZATION | headers)
    assert answer.status_code < 500
    document = answer.get_json(force=True)
    assert document["request_id"] == answer.headers["X-Request-ID"]
    assert ("code" in document) == (answer.status_code != 200)


@drawn
@given(
    path=st.text(st.characters(exclude_categories=["Cs"])),
    method=st.sampled_from(["GET", "POST", "PUT", "BREW", "OPTIONS", "HEAD"]) | st.text("A!-_"),
)
def test_any_path_and_any_method(client: FlaskClient, path: str, method: str) -> None:
    """Neither leads to a failure."""
    answer = client.open("/" + path.lstrip("/"), method=method or "GET")
    assert answer.status_code < 500
    assert answer.headers["X-Request-ID"]


parameters = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("after", "before", "limit", "recipient", "sender", "subject", "since", "until"),
                *("queue_id", "header_message_id", "wait", "x", "endpoint", "state", "message_id"),
            ]
        ),
        st.text(max_size=20) | st.sampled_from(["", "0", "1", "2026-01-31", "a@b", "<>", "%"]),
    ),
    max_size=4,
).filter(lambda given: ("wait", "1") not in given)


@drawn
@given(given=parameters, path=st.sampled_from(["/messages", "/deliveries"]))
def test_any_query_of_a_list(client: FlaskClient, given: list[tuple[str, str]], path: str) -> None:
    """The answer is a page, or a refusal that names what is wrong."""
    answer = client.get(path, query_string=given, headers=API_AUTHORIZATION)
    assert answer.status_code in {200, 400}
    document = answer.get_json()
    if answer.status_code == 200:
        assert document.keys() == {path[1:], "next", "has_more"}
    else:
        assert document.get("errors") or "cursor" in document["detail"]


@drawn
@given(raw=st.binary(max_size=300) | st.binary(max_size=100).map(lambda tail: RAW + tail))
def test_any_message_is_read(client: FlaskClient, raw: bytes) -> None:
    """Any stored message can be shown, and its raw bytes are unchanged."""
    # What begins with white space continues the last field, which has no bearing on the envelope.
    head = b"From: ann@example.org\r\nTo: bob@example.com\r\nX-Any: a\r\n"
    message_id = send(client, head + raw)
    for rest in ("", "/raw", "/parts/1"):
        answer = client.get(f"/messages/{message_id}{rest}", headers=API_AUTHORIZATION)
        assert answer.status_code == 200 or (rest == "/parts/1" and answer.status_code == 404)
        if rest == "/raw":
            assert answer.data == head + raw


def test_a_websocket_is_not_opened(client: FlaskClient, store: MessageStore) -> None:
    """The request is answered like any other, which RFC 9110 section 7.8 allows."""
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    answer = client.post("/mail/inbound", data=RAW, headers=AUTHORIZATION | upgrade)
    assert (answer.status_code, store.statistics().messages) == (200, 1)
