"""The routes of single messages, and of deletion."""

import hashlib
import json
from base64 import b64encode
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from support.application import API_AUTHORIZATION
from support.reading import PNG, WITH_PARTS, get, ids, listed, send, send_numbered

from app.reading.reader import CONTENT_AT_ONCE_BYTES
from app.storage.interface import MessageStore
from app.storage.sqlite.store import SQLiteStore

SCHEMA = json.loads((files("app.reading") / "message.schema.json").read_text(encoding="utf-8"))
UNKNOWN = "019ca945-0a01-7b76-84b5-b2a9a8215155"
MADE_UP = [UNKNOWN, "x", "..", "%2e%2e%2f..", "a" * 10_000, "%00", "é", UNKNOWN.upper(), "*"]


def delete_many(client: FlaskClient, body: bytes, content_type: str = "application/json") -> Any:
    headers = API_AUTHORIZATION | {"Content-Type": content_type}
    return client.post("/messages/delete", data=body, headers=headers)


def test_a_message_is_shown_decoded(client: FlaskClient) -> None:
    """With exactly the members of the shipped schema."""
    message_id = send(client)
    message = get(client, f"/messages/{message_id}").get_json()
    Draft202012Validator(SCHEMA).validate(message)
    assert message["id"] == message_id
    assert message["sha256"] == hashlib.sha256(WITH_PARTS).hexdigest()
    assert message["headers"][2] == ["Message-ID", "<a@example.org>"]
    assert message["header_message_id"] == "a@example.org"
    assert message["date"] == "2026-03-02T10:00:00+01:00"
    assert message["from"] == [{"name": "Jürgen", "address": "ann@example.org"}]
    assert message["text"].strip() == "Grüße"
    assert message["reply"] == {"text": message["text"], "found": False}
    assert [each["filename"] for each in message["attachments"]] == ["Grüße.png", None]
    assert message["attachments"][0]["url"] == f"/messages/{message_id}/parts/2"
    assert (message["defects"], message["truncated"]) == ([], False)


def test_a_message_without_anything_is_shown(client: FlaskClient) -> None:
    """Missing values are null or empty, as the schema says."""
    message_id = send(
        client, b"X: \r\n\r\n", X_Original_Sender="", X_Original_Recipient="b@example.com"
    )
    message = get(client, f"/messages/{message_id}").get_json()
    Draft202012Validator(SCHEMA).validate(message)
    assert (message["date"], message["from"], message["header_message_id"]) == (None, [], None)


def test_the_url_of_an_attachment_returns_its_content(client: FlaskClient) -> None:
    """With the listed size and SHA-256."""
    message = get(client, f"/messages/{send(client)}").get_json()
    for attachment in message["attachments"]:
        content = get(client, attachment["url"]).data
        assert len(content) == attachment["size"]
        assert hashlib.sha256(content).hexdigest() == attachment["sha256"]


@pytest.mark.parametrize("rest", ["", "/raw", "/parts/2"])
def test_unchanged_content_is_not_sent_again(client: FlaskClient, rest: str) -> None:
    """304 for its ETag, alone, in a list, or weak, and for *; 200 for another ETag."""
    path = f"/messages/{send(client)}{rest}"
    first = get(client, path)
    etag = first.headers["ETag"]
    assert etag.startswith('"')
    for known in (etag, f'"x", {etag}', f"W/{etag}", "*"):
        answer = get(client, path, If_None_Match=known)
        assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", etag)
        assert answer.headers["Cache-Control"] == "private, no-cache"
    for other in ('"x"', etag.strip('"') + "x", ""):
        answer = get(client, path, If_None_Match=other)
        assert (answer.status_code, answer.data) == (200, first.data)


def test_the_bytes_are_those_that_were_received(client: FlaskClient) -> None:
    """With their digest, and a name to save them under."""
    message_id = send(client)
    answer = get(client, f"/messages/{message_id}/raw")
    assert (answer.status_code, answer.data) == (200, WITH_PARTS)
    assert answer.headers["Content-Type"] == "message/rfc822"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{message_id}.eml"'
    digest = b64encode(hashlib.sha256(WITH_PARTS).digest()).decode()
    assert answer.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    head = get(client, f"/messages/{message_id}/raw", "HEAD", Range="bytes=0-1")
    assert (head.status_code, head.data) == (200, b"")
    assert dict(head.headers) | {"X-Request-ID": ""} == dict(answer.headers) | {"X-Request-ID": ""}


def test_one_range_of_the_bytes(client: FlaskClient) -> None:
    """206 with the range, 416 beyond the end; all bytes if If-Range has another ETag."""
    path, size = f"/messages/{send(client)}/raw", len(WITH_PARTS)
    answer = get(client, path, Range="bytes=6-9")
    assert (answer.status_code, answer.data) == (206, WITH_PARTS[6:10])
    assert answer.headers["Content-Range"] == f"bytes 6-9/{size}"
    assert answer.headers["Content-Length"] == "4"
    assert get(client, path, Range="bytes=-5").data == WITH_PARTS[-5:]
    etag = answer.headers["ETag"]
    assert get(client, path, Range="bytes=6-9", If_Range=etag).status_code == 206
    for other in ('"x"', f"W/{etag}", "Mon, 02 Mar 2026 10:00:00 GMT"):
        assert get(client, path, Range="bytes=6-9", If_Range=other).data == WITH_PARTS
    assert get(client, path, Range="bytes=0-1,3-4").data == WITH_PARTS
    answer = get(client, path, Range=f"bytes={size}-")
    assert (answer.status_code, answer.get_json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{size}"


def test_a_part_does_no_harm_in_a_browser(client: FlaskClient) -> None:
    """A picture keeps its type, anything else doesn't; headers forbid to open, sniff or run it."""
    message_id = send(client)
    picture = get(client, f"/messages/{message_id}/parts/2")
    assert (picture.data, picture.headers["Content-Type"]) == (PNG, "image/png")
    assert picture.headers["Content-Disposition"] == (
        "attachment; filename=\"Gr__e.png\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe.png"
    )
    for part in ("1", "3"):
        other = get(client, f"/messages/{message_id}/parts/{part}")
        assert other.headers["Content-Type"] == "application/octet-stream"
    for answer in (picture, other, get(client, f"/messages/{message_id}/raw")):
        assert answer.headers["Content-Disposition"].startswith("attachment; ")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize("part", ["0", "4", "1.1", "", "..", "%00", "1" * 10_000, "02", "x"])
def test_an_unknown_part_is_not_found(client: FlaskClient, part: str) -> None:
    """404 for any number that the message doesn't have."""
    answer = get(client, f"/messages/{send(client)}/parts/{part}")
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("made_up", MADE_UP)
@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", ""),
        ("HEAD", ""),
        ("GET", "/raw"),
        ("HEAD", "/raw"),
        ("GET", "/parts/1"),
        ("DELETE", ""),
    ],
)
def test_an_id_that_is_made_up_is_not_found(
    client: FlaskClient, made_up: str, method: str, rest: str
) -> None:
    """404 with a short body, and nothing is deleted."""
    sent = send(client)
    answer = get(client, f"/messages/{made_up}{rest}", method)
    assert answer.status_code == 404
    assert len(answer.data) < 500
    assert ids(listed(client)) == [sent]


@pytest.mark.parametrize("rest", ["", "/raw", "/parts/1"])
def test_a_parameter_is_refused(client: FlaskClient, rest: str) -> None:
    """The routes of single messages have none."""
    answer = get(client, f"/messages/{send(client)}{rest}?limit=1")
    assert (answer.status_code, answer.get_json()["errors"][0]["field"]) == (400, "limit")


@pytest.mark.parametrize("store", [SQLiteStore], indirect=True)
def test_damaged_bytes_are_not_given_out(client: FlaskClient, data_dir: Path) -> None:
    """500 from every route that reads them; the list still works."""
    message_id = send(client)
    [segment] = (data_dir / "segments").glob("*.records")
    segment.write_bytes(segment.read_bytes().replace(b"<svg", b"<SVG"))
    for rest in ("", "/raw", "/parts/2"):
        answer = get(client, f"/messages/{message_id}{rest}")
        assert (answer.status_code, answer.get_json()["code"]) == (500, "internal_error")
        assert b"segment" not in answer.data
    assert ids(listed(client)) == [message_id]


def test_a_deleted_message_is_gone(client: FlaskClient) -> None:
    """204 once, then 404 from every route; other messages are still there."""
    kept, gone = send_numbered(client, 2)
    answer = get(client, f"/messages/{gone}", "DELETE")
    assert (answer.status_code, answer.data) == (204, b"")
    assert "Content-Type" not in answer.headers
    for method, rest in [("DELETE", ""), ("GET", ""), ("GET", "/raw"), ("GET", "/parts/1")]:
        assert get(client, f"/messages/{gone}{rest}", method).status_code == 404
    assert ids(listed(client)) == [kept]


def test_many_are_deleted_at_once(client: FlaskClient) -> None:
    """The results are in the order of the ids, including unknown and repeated ones."""
    sent = send_numbered(client, 4)
    get(client, f"/messages/{sent[1]}", "DELETE")
    asked = [sent[2], UNKNOWN, sent[1], sent[0], sent[2]]
    answer = delete_many(client, json.dumps({"ids": asked}).encode())
    assert answer.status_code == 200
    deleted = [True, False, False, True, True]
    assert answer.get_json() == {
        "results": [{"id": each, "deleted": was} for each, was in zip(asked, deleted, strict=True)]
    }
    assert ids(listed(client)) == [sent[3]]


def bodies() -> dict[str, bytes]:
    """Return bodies that aren't a list of 1 to 500 ids; ID stands for a stored one."""
    return {
        "empty": b"",
        "no JSON": b"ID",
        "list": b'["ID"]',
        "no ids": b"{}",
        "null": b'{"ids": null}',
        "none": b'{"ids": []}',
        "text": b'{"ids": "ID"}',
        "object": b'{"ids": {"0": "ID"}}',
        "one wrong": b'{"ids": ["ID", "x"]}',
        "one null": b'{"ids": ["ID", null]}',
        "a number": b'{"ids": ["ID", 1]}',
        "nested": b'{"ids": [["ID"]]}',
        "line end": b'{"ids": ["ID\\n"]}',
        "everything": b'{"ids": ["ID", "*"]}',
        "another member": b'{"ids": ["ID"], "all": true}',
        "twice": b'{"ids": ["ID"], "ids": ["ID"]}',
        "501": json.dumps({"ids": ["ID"] * 501}).encode(),
        "10,000": json.dumps({"ids": ["ID"] * 10_000}).encode(),
        "cut": b'{"ids": ["ID"]',
    }


@pytest.mark.parametrize("name", bodies())
def test_anything_but_a_list_of_ids_deletes_nothing(client: FlaskClient, name: str) -> None:
    """400, and all messages are still there."""
    sent = send_numbered(client, 2)
    answer = delete_many(client, bodies()[name].replace(b"ID", sent[0].encode()))
    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_request")
    assert len(ids(listed(client))) == 2


@pytest.mark.parametrize(
    ("content_type", "size", "status"),
    [
        ("text/plain", 0, 415),
        ("application/x-www-form-urlencoded", 0, 415),
        ("application/json", 1_100_000, 413),
    ],
)
def test_a_body_of_another_kind_deletes_nothing(
    client: FlaskClient, content_type: str, size: int, status: int
) -> None:
    """A form, as another site's page could send it, and a body that is too long."""
    sent = send(client)
    body = json.dumps({"ids": [sent]}).encode() + b" " * size
    assert delete_many(client, body, content_type).status_code == status
    assert ids(listed(client)) == [sent]


def test_five_hundred_are_deleted_at_once(client: FlaskClient, store: MessageStore) -> None:
    """The largest allowed number of ids fits into the largest allowed body."""
    sent = send(client)
    answer = delete_many(client, json.dumps({"ids": [UNKNOWN] * 499 + [sent]}).encode())
    assert answer.status_code == 200
    assert [each["deleted"] for each in answer.get_json()["results"]] == [False] * 499 + [True]


def test_the_memory_of_large_messages_is_released(client: FlaskClient) -> None:
    """After each answer, including a range, a 304, and a part that doesn't exist."""
    size = 1_900_000
    message_id = send(
        client, WITH_PARTS.replace(b"--b--", b"--b\r\n\r\n" + b"x" * size + b"\r\n--b--")
    )
    for _ in range(CONTENT_AT_ONCE_BYTES // size // 2 + 1):
        for rest in ("/raw", "/parts/4"):
            for headers in ({}, {"Range": "bytes=0-9"}, {"If_None_Match": "*"}):
                get(client, f"/messages/{message_id}{rest}", **headers).close()
        assert get(client, f"/messages/{message_id}/parts/5").status_code == 404
