"""Request ids and the line that each request leaves in the log."""

import logging

import pytest
from flask.testing import FlaskClient
from support.application import API_AUTHORIZATION, AUTHORIZATION
from support.tokens import API_TOKEN, TOKEN, TOKENS

from app import logs
from app.errors import StorageUnavailable
from app.storage.memory import MemoryStore

pytestmark = pytest.mark.parametrize("store", [MemoryStore], indirect=True)
RAW = b"From: ann@example.org\r\nTo: bob@example.com\r\n\r\n"
PATHS = ["/health", "/nothing", "/mail/inbound"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("given", ["x", "a b~!", "f47ac10b-58cc", "i" * 128])
def test_a_sane_id_is_kept(client: FlaskClient, path: str, given: str) -> None:
    """Every answer, errors too, carries the client's own printable id of up to 128 characters."""
    assert client.get(path, headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("given", ["", "i" * 129, "a\tb", "a\x1bb", "a\x7f", "\xfc", "a\x00"])
def test_another_id_is_replaced(client: FlaskClient, path: str, given: str) -> None:
    """Too long, empty or unprintable: a new one is made, and used in the document as well."""
    answer = client.get(path, headers={"X-Request-ID": given})
    assert len(answer.headers["X-Request-ID"]) == 32
    assert (
        answer.get_json().get("request_id", answer.headers["X-Request-ID"])
        == (answer.headers["X-Request-ID"])
    )


def test_made_ids_differ(client: FlaskClient) -> None:
    """No two requests get the same."""
    assert len({client.get("/health").headers["X-Request-ID"] for _ in range(100)}) == 100


@pytest.fixture
def seen(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Collect records as the handler of the configuration gets them."""
    caplog.set_level(logging.INFO)
    caplog.handler.addFilter(logs.RequestIdFilter())
    return caplog


def test_a_message_leaves_one_line(client: FlaskClient, seen: pytest.LogCaptureFixture) -> None:
    """It names the message and the request, and neither token nor text."""
    headers = {
        **AUTHORIZATION,
        "X-Request-ID": "id-1",
        "X-Original-Queue-Id": "A1",
    }
    message_id = client.post("/mail/inbound", data=RAW, headers=headers).get_json()["message_id"]

    [line] = (vars(record) for record in seen.records)
    assert line["message"] == "POST /mail/inbound 200"
    assert (line["message_id"], line["queue_id"], line["size"]) == (message_id, "A1", len(RAW))
    assert (line["sender"], line["recipient"]) == ("ann@example.org", "bob@example.com")
    assert (line["method"], line["path"], line["status"]) == ("POST", "/mail/inbound", 200)
    assert line["duration_ms"] >= 0
    assert line["request_id"] == "id-1"
    assert line["token"] == TOKENS[0].fingerprint
    assert TOKEN not in str(line)


def test_a_line_names_the_token_by_its_fingerprint(
    client: FlaskClient, seen: pytest.LogCaptureFixture
) -> None:
    """Even if it is of the wrong kind; an invalid token isn't logged at all."""
    for headers in (API_AUTHORIZATION, {"Authorization": "Bearer unknown-token"}, {}):
        client.post("/mail/inbound", data=RAW, headers=headers)
    lines = [vars(record) for record in seen.records]
    assert [(line["code"], line["token"]) for line in lines] == [
        ("forbidden", TOKENS[1].fingerprint),
        ("unauthorized", None),
        ("unauthorized", None),
    ]
    assert API_TOKEN not in str(lines)
    assert "unknown-token" not in str(lines)


def test_a_refusal_is_logged_with_its_code(
    client: FlaskClient, seen: pytest.LogCaptureFixture
) -> None:
    """The line of a refused request says why."""
    client.post("/mail/inbound", data=RAW)
    (record,) = seen.records
    assert (vars(record)["status"], vars(record)["code"]) == (401, "unauthorized")


def test_the_id_is_forgotten_after_the_request(client: FlaskClient) -> None:
    """What is logged between two requests isn't taken for part of the last one."""
    client.get("/health", headers={"X-Request-ID": "id-1"})
    assert logs.request_id.get() is None


REFUSED = {
    "X-Original-Sender": "ann@example.org",
    "X-Original-Recipient": "bob@example.com",
    "X-Original-Queue-Id": "4cXyz1",
    "X-Original-Client-Address": "192.0.2.7",
}
AS_JSON = AUTHORIZATION | {"Content-Type": "application/json"}
IN_JSON = b'{"sender": "ann@example.org", "recipient": "bob@example.net", "raw": "A: b"}'


def refusal(seen: pytest.LogCaptureFixture) -> dict[str, object]:
    """Return the members of the one line that is as severe as a refusal."""
    [line] = [vars(record) for record in seen.records if record.levelno >= logging.WARNING]
    return line


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "unauthorized"),
        (AUTHORIZATION | {"X-Original-Recipient": "bob@example.net"}, "recipient_unknown"),
        (AUTHORIZATION | {"Content-Type": "text/csv"}, "unsupported_media_type"),
    ],
)
def test_a_refusal_tells_all_that_is_known_of_the_message(
    client: FlaskClient, seen: pytest.LogCaptureFixture, headers: dict[str, str], code: str
) -> None:
    """A warning with envelope, size, reason and the SMTP client, however early it was refused."""
    given = {"Content-Type": "message/rfc822"} | REFUSED | headers
    document = client.post("/mail/inbound", data=RAW, headers=given).get_json()
    line = refusal(seen)
    assert (line["levelname"], line["code"]) == ("WARNING", code)
    assert line["detail"] == document["detail"]
    recipient = given["X-Original-Recipient"]
    assert (line["sender"], line["recipient"]) == ("ann@example.org", recipient)
    assert (line["queue_id"], line["size"]) == ("4cXyz1", len(RAW))
    assert (line["peer"], line["client"]) == ("127.0.0.1", "192.0.2.7")


@pytest.mark.parametrize(
    ("body", "headers", "recipient"),
    [
        (RAW.replace(b"example.com", b"example.net"), AUTHORIZATION, "bob@example.net"),
        (IN_JSON, AS_JSON, "bob@example.net"),
        (IN_JSON.replace(b"bob@", b"bob bob@"), AS_JSON, "bob bob@example.net"),
    ],
)
def test_a_refusal_names_who_the_body_names(
    client: FlaskClient,
    seen: pytest.LogCaptureFixture,
    body: bytes,
    headers: dict[str, str],
    recipient: str,
) -> None:
    """Where the request's head names nobody, From and To do, or JSON; usable or not."""
    client.post("/mail/inbound", data=body, headers=headers)
    line = refusal(seen)
    assert (line["sender"], line["recipient"]) == ("ann@example.org", recipient)
    assert line["size"] == len(body)


def test_a_refusal_names_the_fields_that_are_wrong(
    client: FlaskClient, seen: pytest.LogCaptureFixture
) -> None:
    """As the answer does."""
    client.post("/mail/inbound", data=b'{"sender": 5}', headers=AS_JSON)
    assert refusal(seen)["faults"] == "sender: Not a valid string."


def test_what_a_refusal_quotes_is_bounded(
    client: FlaskClient, seen: pytest.LogCaptureFixture
) -> None:
    """A sender of a megabyte doesn't make a line of a megabyte."""
    body = b'{"sender": "%b", "recipient": "bob@example.com", "raw": "A: b"}' % (b"x" * 1_000_000)
    client.post("/mail/inbound", data=body, headers=AS_JSON)
    assert len(str(refusal(seen))) < 5_000


def test_a_failure_of_the_server_is_an_error(
    client: FlaskClient, seen: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the message that waits because of it."""

    def fail(*_: object) -> None:
        raise StorageUnavailable("The disk is full.")

    monkeypatch.setattr(MemoryStore, "add", fail)
    client.post("/mail/inbound", data=RAW, headers=REFUSED | AUTHORIZATION)
    line = vars(seen.records[-1])
    assert (line["levelname"], line["status"]) == ("ERROR", 503)
    assert (line["detail"], line["recipient"]) == ("The disk is full.", "bob@example.com")


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/openapi.json"])
def test_probes_are_seen_at_debug_only(
    client: FlaskClient, seen: pytest.LogCaptureFixture, path: str
) -> None:
    """Every few seconds for ever they would bury the lines about mail."""
    client.get(path)
    assert seen.records == []
    seen.set_level(logging.DEBUG)
    client.get(path)
    assert [record.getMessage() for record in seen.records] == [f"GET {path} 200"]


def test_a_probe_that_fails_is_an_error(
    client: FlaskClient, seen: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its reason."""

    def fail(*_: object) -> None:
        raise StorageUnavailable from OSError(28, "No space left on device")

    monkeypatch.setattr(MemoryStore, "check", fail)
    [reason] = client.get("/health").get_json()["reasons"]
    line = refusal(seen)
    assert (line["levelname"], line["detail"]) == ("ERROR", reason)
    assert "No space left on device" in reason
