"""Request ids and the line that each request leaves in the log."""

import logging

import pytest
from flask.testing import FlaskClient
from support.application import AUTHORIZATION
from support.tokens import TOKEN

from app import logs
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
    assert TOKEN not in str(line)


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
