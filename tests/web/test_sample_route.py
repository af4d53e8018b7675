"""POST /endpoints/{name}/test: a signed sample, and what is wrong if it doesn't get through."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from standardwebhooks import Webhook
from support.deliveries import at
from support.endpoint_server import (
    OK,
    EndpointServer,
    Visit,
    answering,
    closed_port,
    healthy,
)
from support.endpoints import SECRET, endpoint
from support.reading import get
from werkzeug.test import TestResponse

from app.settings import Endpoint
from app.storage.interface import MessageStore
from app.storage.memory import MemoryStore
from app.web import endpoints as endpoints_routes


@pytest.fixture
def store() -> MessageStore:
    """Return one store: a test stores nothing."""
    return MemoryStore()


@pytest.fixture
def server() -> Iterator[EndpointServer]:
    """Return an application that takes everything."""
    with EndpointServer(healthy) as made:
        yield made


@pytest.fixture
def endpoints(server: EndpointServer) -> tuple[Endpoint, ...]:
    """Return an endpoint that can be reached."""
    return (endpoint("here", url=server.url()),)


def post(client: FlaskClient, path: str) -> TestResponse:
    """Post nothing with an api_token."""
    return get(client, path, "POST")


def test_a_sample_is_signed_and_is_no_delivery(
    client: FlaskClient, store: MessageStore, server: EndpointServer
) -> None:
    """The official library verifies it; it has the shape of a message, and nobody to reply to."""
    answer = post(client, "/endpoints/here/test").get_json()
    assert (answer["delivered"], answer["reason"], answer["advice"]) == (True, None, None)
    assert (answer["attempt"]["status"], answer["attempt"]["answer"]) == (200, "ok")
    assert answer["attempt"]["address"] == "127.0.0.1"
    [received] = server.received
    payload = json.loads(received.body)
    assert payload["type"] == "message.received"
    assert payload["data"]["subject"] == "GoMail test"
    assert payload["data"]["envelope"]["sender"] == ""
    assert received.headers["webhook-id"] == f"msg_{payload['data']['id']}"
    timestamp = int(received.headers["webhook-timestamp"])
    assert timestamp == int(at(0).timestamp())  # as the application's clock has it
    signed = Webhook(SECRET).sign(received.headers["webhook-id"], at(0), received.body.decode())
    assert received.headers["webhook-signature"] == signed
    assert store.deliveries.figures() == []
    assert store.statistics().messages == 0


def result_of(app: Flask, changed: Endpoint) -> dict[str, Any]:
    """Return what comes of a test of an endpoint."""
    services = app.extensions["gomail"]
    app.extensions["gomail"] = replace(services, endpoints=(changed,))
    answer = post(app.test_client(), f"/endpoints/{changed.name}/test")
    assert answer.status_code == 200, answer.data
    found: dict[str, Any] = answer.get_json()
    return found


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (b"401 No", "refused", "secret"),
        (b"400 No", "refused", "bytes of the body"),
        (b"404 No", "refused", "path"),
        (b"422 No", "refused", "its log"),
        (b"500 No", "server_error", "its log"),
        (b"301 Go\r\nLocation: http://127.0.0.1/", "redirect", "url"),
        (b"410 Gone", "gone", "pauses"),
        (b"429 Slow", "rate_limited", "concurrency"),
    ],
)
def test_a_refusal_says_what_may_help(app: Flask, status: bytes, reason: str, words: str) -> None:
    """By the status: that of a wrong secret is another one than that of a wrong path."""
    reply = b"HTTP/1.1 " + status + b"\r\nContent-Length: 3\r\n\r\nwhy"
    with EndpointServer(answering(reply)) as refusing:
        found = result_of(app, endpoint("here", url=refusing.url()))
    assert (found["delivered"], found["reason"]) == (False, reason)
    assert words in found["advice"]
    assert found["attempt"]["status"] == int(status[:3])
    assert found["attempt"]["answer"] == "why"


def speak_plainly(visit: Visit) -> None:
    """Answer without TLS, whatever comes."""
    visit.connected.recv(1)
    visit.send(OK)


def test_a_broken_link_is_named(app: Flask) -> None:
    """The name, the address, the connection, TLS: each has its code, and what may help."""
    with closed_port() as port, EndpointServer(speak_plainly) as plain:
        links = {
            "name_not_found": endpoint(url="http://nobody.invalid/"),
            "address_refused": endpoint(url=plain.url("169.254.169.254")),
            "connection_failed": endpoint(url=f"http://127.0.0.1:{port}/"),
            "tls_failed": endpoint(url=plain.url().replace("http:", "https:"), timeout=5),
        }
        for reason, wrong in links.items():
            found = result_of(app, wrong)
            assert (found["reason"], found["attempt"]["status"]) == (reason, None)
            assert found["attempt"]["error"]
            assert found["advice"]
        assert result_of(app, endpoint(url=plain.url(), networks="public"))["reason"] == (
            "address_refused"
        )


def test_one_test_at_a_time(app: Flask) -> None:
    """Each has a thread of the worker: while one hangs, others are told to come again."""
    is_begun, is_over = threading.Event(), threading.Event()

    def hang(visit: Visit) -> None:
        visit.request()
        is_begun.set()
        is_over.wait(10)

    with EndpointServer(hang) as hanging:
        slow = endpoint("here", url=hanging.url(), timeout=8)
        first = threading.Thread(target=result_of, args=(app, slow))
        first.start()
        assert is_begun.wait(5)
        answer = post(app.test_client(), "/endpoints/here/test")
        assert (answer.status_code, answer.get_json()["code"]) == (429, "rate_limited")
        assert answer.headers["Retry-After"] == "1"
        is_over.set()
        first.join()
    assert result_of(app, endpoint("here", url="http://nobody.invalid/"))["reason"]


def test_a_test_does_not_hold_a_thread_for_long(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint may have a minute for a message, but the route is over after ten seconds."""
    assert endpoints_routes.MOST_TEST_SECONDS == 10
    monkeypatch.setattr(endpoints_routes, "MOST_TEST_SECONDS", 1)
    with EndpointServer(lambda visit: visit.hang()) as hanging:
        found = result_of(app, endpoint("here", url=hanging.url(), timeout=60))
    assert found["reason"] == "timeout"
    assert 900 < found["attempt"]["duration_ms"] < 5_000
    assert "at once" in found["advice"]


@pytest.mark.parametrize(
    ("pattern", "recipient"),
    [
        ("*", "gomail-test@example.com"),
        ("*@b.example", "gomail-test@b.example"),
        ("help+*@b.example", "help+test@b.example"),
        ("ann@b.example", "ann@b.example"),
    ],
)
def test_a_sample_is_mail_that_the_endpoint_would_get(
    app: Flask, server: EndpointServer, pattern: str, recipient: str
) -> None:
    """In its format, to an address that its first pattern matches."""
    given = endpoint("here", url=server.url(), recipients=(pattern, "x@y"), format="raw")
    assert result_of(app, given)["delivered"]
    [received] = server.received
    assert received.headers["Content-Type"] == "message/rfc822"
    assert received.headers["X-Original-Recipient"] == recipient
    assert f"To: <{recipient}>\r\n".encode() in received.body
