"""Every answer that isn't 200: its status, its code, its members, and that nothing is stored."""

import base64
import json
import logging
from io import BytesIO
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from support.application import AUTHORIZATION, Post
from support.tokens import TOKEN
from werkzeug.test import TestResponse

from app.auth.tokens import TokenKind
from app.errors import MessageCorrupt
from app.storage.interface import MessageStore, Query
from app.storage.sqlite.store import SQLiteStore
from app.web.access import needs

RAW = b"From: ann@example.org\r\nTo: bob@example.com\r\nSubject: Hi\r\n\r\nBody"
JSON = {"Content_Type": "application/json"}


def check_problem(answer: TestResponse, status: int, code: str) -> dict[str, object]:
    """Check that `answer` is a problem document as RFC 9457 and the contract have it."""
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    document: dict[str, object] = json.loads(answer.data)
    assert (document["status"], document["code"]) == (status, code)
    assert document["type"] == f"urn:gomail:problem:{code}"
    assert document["request_id"] == answer.headers["X-Request-ID"]
    assert document["title"]
    assert document["detail"]
    assert document.keys() - {"errors"} == {
        "type",
        "title",
        "status",
        "detail",
        "code",
        "request_id",
    }
    assert TOKEN not in answer.get_data(as_text=True)
    return document


REFUSED: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "not JSON": (b"{", JSON, 400, "bad_request"),
    "nested": (b"[" * 100_000, JSON, 400, "bad_request"),
    "NaN": (b'{"x":NaN}', JSON, 400, "bad_request"),
    "surrogate": (b'{"subject":"\\ud800"}', JSON, 400, "bad_request"),
    "digits": (b'{"x":' + b"1" * 5000 + b"}", JSON, 400, "bad_request"),
    "twice": (b'{"to":"a@example.com","to":"b@example.com"}', JSON, 400, "bad_request"),
    "base64": (b'{"raw_base64":"a"}', JSON, 400, "bad_request"),
    "raw and raw": (b'{"raw":"A: b","raw_base64":"QQ=="}', JSON, 400, "bad_request"),
    "raw and html": (b'{"raw":"A: b","html":"<p>"}', JSON, 400, "bad_request"),
    "typo": (b'{"from":"a@b.c","to":"bob@example.com","bdoy":"x"}', JSON, 400, "bad_request"),
    "camel": (b'{"from":"a@b.c","to":"bob@example.com","rawBase64":""}', JSON, 400, "bad_request"),
    "list": (b'{"from":"a@b.c","to":["bob@example.com"]}', JSON, 400, "bad_request"),
    "curl -d": (
        b"From: a@b.cTo: bob@example.comSubject: HiText",
        {"Content_Type": "application/x-www-form-urlencoded"},
        400,
        "bad_request",
    ),
    "no object": (b"[]", JSON, 400, "bad_request"),
    "empty JSON": (b"", JSON, 400, "bad_request"),
    "contradiction": (
        b'{"sender":"a@example.org","to":"bob@example.com"}',
        JSON | {"X_Original_Sender": "b@example.org"},
        400,
        "bad_request",
    ),
    "no token": (RAW, {"Authorization": ""}, 401, "unauthorized"),
    "bad token": (RAW, {"Authorization": "Bearer wrong"}, 401, "unauthorized"),
    "8-bit token": (RAW, {"Authorization": "Bearer schl\xfcssel\xff"}, 401, "unauthorized"),
    "scheme": (RAW, {"Authorization": f"Basic {TOKEN}"}, 401, "unauthorized"),
    "blocked": (RAW, {"X_Original_Sender": "x@a.SPAM.example"}, 403, "policy_reject"),
    "too large": (RAW.ljust(2_000_001), {}, 413, "message_too_large"),
    "far too large": (bytes(3_000_000), JSON, 413, "message_too_large"),
    "too large in JSON": (
        b'{"raw_base64":"' + base64.b64encode(RAW.ljust(2_000_001)) + b'"}',
        JSON,
        413,
        "message_too_large",
    ),
    "too large undeclared": (RAW.ljust(2_000_001), {"Content_Type": ""}, 413, "message_too_large"),
    "multipart": (RAW, {"Content_Type": "multipart/form-data"}, 415, "unsupported_media_type"),
    "plain": (RAW, {"Content_Type": "text/plain"}, 415, "unsupported_media_type"),
    "gzip": (RAW, {"Content_Encoding": "gzip"}, 415, "unsupported_media_type"),
    "transfer gzip": (RAW, {"Transfer_Encoding": "gzip, chunked"}, 415, "unsupported_media_type"),
    "empty": (b"", {}, 422, "message_rejected"),
    "empty undeclared": (b"", {"Content_Type": ""}, 422, "message_rejected"),
    "NULs": (bytes(5000), {}, 422, "message_rejected"),
    "1 MB header": (b"X: " + b"x" * 10**6 + b"\r\n" + RAW, {}, 422, "message_rejected"),
    "no head": (b"hello", {}, 422, "message_rejected"),
    "no recipient": (b"From: a@b.c\n\n", {}, 422, "message_rejected"),
    "no sender": (b"To: bob@example.com\n\n", {}, 422, "message_rejected"),
    "path": (RAW, {"X_Original_Recipient": "../../etc/passwd"}, 422, "message_rejected"),
    "empty recipient": (RAW, {"X_Original_Recipient": ""}, 422, "message_rejected"),
    "two": (RAW, {"X_Original_Recipient": "a@b.c, d@b.c"}, 422, "message_rejected"),
    "group": (RAW, {"X_Original_Recipient": "team:bob@example.com"}, 422, "message_rejected"),
    "name": (RAW, {"X_Original_Recipient": "Bob <bob@example.com>"}, 422, "message_rejected"),
    "comma": (RAW, {"X_Original_Recipient": "a,bob@example.com"}, 422, "message_rejected"),
    "semicolon": (RAW, {"X_Original_Recipient": "a;bob@example.com"}, 422, "message_rejected"),
    "bracket": (RAW, {"X_Original_Recipient": "x)bob@example.com"}, 422, "message_rejected"),
    "comma in domain": (RAW, {"X_Original_Recipient": "bob@example,com"}, 422, "message_rejected"),
    "blocked in brackets": (
        b"From: ok@fine.example (x) <x@spam.example>\nTo: bob@example.com\n\n",
        {},
        403,
        "policy_reject",
    ),
    "blocked in quotes": (RAW, {"X_Original_Sender": "'x@spam.example'"}, 403, "policy_reject"),
    "blocked, other dot": (
        "From: x@spam.example。\nTo: bob@example.com\n\n".encode(),
        {},
        403,
        "policy_reject",
    ),
    "nobody": (b"{}", JSON, 422, "message_rejected"),
    "elsewhere": (RAW, {"X_Original_Recipient": "a@example.net"}, 422, "recipient_unknown"),
    "subdomain": (RAW, {"X_Original_Recipient": "a@x.example.com"}, 422, "recipient_unknown"),
}


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED)
def test_a_refusal_has_its_status_and_code(
    post: Post,
    store: MessageStore,
    tmp_path: Path,
    row: tuple[bytes, dict[str, str], int, str],
) -> None:
    """Each row of the contract's table: a problem document, and nothing stored or left behind."""
    body, headers, status, code = row
    check_problem(post(body, **headers), status, code)
    assert store.count(Query()) == 0
    assert list(tmp_path.rglob("*.segment")) == []


def test_a_body_cut_short_is_refused(client: FlaskClient, store: MessageStore) -> None:
    """Fewer bytes than Content-Length says are a 400 and no message."""
    answer = client.post(
        "/mail/inbound",
        input_stream=BytesIO(RAW),
        headers={
            "Authorization": f"Bearer {TOKEN}",
            "Content-Type": "message/rfc822",
        },
        environ_overrides={"CONTENT_LENGTH": str(len(RAW) + 1)},
    )
    check_problem(answer, 400, "bad_request")
    assert store.count(Query()) == 0


@pytest.mark.parametrize("content_type", ["message/rfc822", "application/json", ""])
def test_chunked_beyond_the_limit_is_refused(
    client: FlaskClient, store: MessageStore, tmp_path: Path, content_type: str
) -> None:
    """Without a Content-Length the limit holds while reading; the part that came is removed."""
    answer = client.post(
        "/mail/inbound",
        input_stream=BytesIO(RAW.ljust(3_000_000)),
        headers={
            "Authorization": f"Bearer {TOKEN}",
            "Content-Type": content_type,
            "Transfer-Encoding": "chunked",
        },
    )
    check_problem(answer, 413, "message_too_large")
    assert store.count(Query()) == 0
    assert list(tmp_path.rglob("*.segment")) == []


def test_the_token_goes_before_everything(client: FlaskClient) -> None:
    """Without a token nobody learns what would be wrong with the rest."""
    answer = client.post(
        "/mail/inbound", data=bytes(3_000_000), headers={"Content-Encoding": "gzip"}
    )
    check_problem(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_several_faults_are_listed(post: Post) -> None:
    """Each faulty field is named, in the member `errors`."""
    answer = post(b'{"sender":1,"body":[],"connection":{"client_helo":{}}}', **JSON)
    document = check_problem(answer, 400, "bad_request")
    faults = document["errors"]
    assert isinstance(faults, list)
    assert sorted(fault["field"] for fault in faults) == [
        "body",
        "connection.client_helo",
        "sender",
    ]
    assert all(fault.keys() == {"field", "message"} and fault["message"] for fault in faults)


def test_a_single_cause_has_no_list(post: Post) -> None:
    """`errors` is there only when there are faulty fields."""
    assert "errors" not in check_problem(post(b"{", **JSON), 400, "bad_request")


@pytest.mark.parametrize(
    "path",
    ["/", "/mail", "/mail/inbound/", "/mail//inbound", "/metrics/all", "/%ff%00", "/static/x"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path_is_not_found(client: FlaskClient, path: str, method: str) -> None:
    """404 in the same form, whatever the path, and without repeating it."""
    document = check_problem(client.open(path, method=method), 404, "not_found")
    assert len(path) < 3 or path not in str(document)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/mail/inbound", {"OPTIONS", "POST"}),
        ("PUT", "/email", {"OPTIONS", "POST"}),
        ("POST", "/health", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", "/ready", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_another_method_is_told_which_are_allowed(
    client: FlaskClient, method: str, path: str, allowed: set[str]
) -> None:
    """405 names the methods that exist in Allow, as RFC 9110 demands."""
    answer = client.open(path, method=method)
    check_problem(answer, 405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("store", [SQLiteStore], indirect=True)
def test_failing_storage_is_told_and_recovers(
    post: Post, store: MessageStore, data_dir: Path
) -> None:
    """503 with Retry-After while nothing can be written; afterwards 200 without a restart."""
    (data_dir / "segments").rename(data_dir / "away")
    answer = post(RAW)
    document = check_problem(answer, 503, "storage_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert str(data_dir) not in str(document)
    assert "segments" not in str(document)
    assert store.count(Query()) == 0

    (data_dir / "away").rename(data_dir / "segments")
    assert post(RAW).status_code == 200
    assert store.count(Query()) == 1


def test_an_unexpected_failure_tells_nothing(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """500 without the text of the exception, which is in the log."""

    @app.get("/fail")
    @needs(TokenKind.BEARER)
    def fail() -> str:
        raise KeyError("/secret/path")

    document = check_problem(
        app.test_client().get("/fail", headers=AUTHORIZATION), 500, "internal_error"
    )
    assert "secret" not in str(document)
    assert "KeyError" not in str(document)
    record, line = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)
    assert line.getMessage() == "GET /fail 500"


def test_damaged_bytes_are_an_internal_error(app: Flask) -> None:
    """An expected failure of this side tells no more than an unexpected one."""

    @app.get("/corrupt")
    @needs(TokenKind.BEARER)
    def corrupt() -> str:
        raise MessageCorrupt("The stored bytes of message X are damaged.")

    document = check_problem(
        app.test_client().get("/corrupt", headers=AUTHORIZATION), 500, "internal_error"
    )
    assert "damaged" not in str(document)


@pytest.mark.parametrize("path", ["/mail/inbound/", "/email/", "/health/", "/mail/inbound//"])
def test_a_slash_too_many_is_named(app: Flask, path: str) -> None:
    """It is easily overlooked in the configuration of a relay."""
    document = check_problem(app.test_client().post(path), 404, "not_found")
    assert "slash" in str(document["detail"])


@pytest.mark.parametrize("path", ["/", "/mail/", "/nothing/"])
def test_a_slash_is_not_blamed_for_what_is_not_there(app: Flask, path: str) -> None:
    """Without it there is nothing either."""
    document = check_problem(app.test_client().post(path), 404, "not_found")
    assert "slash" not in str(document["detail"])
