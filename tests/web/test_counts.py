"""What the recorder is told of each request."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from flask import Flask
from flask.testing import FlaskClient
from support import application
from support.application import post_mail
from support.tokens import TOKENS

from app import create_app
from app.errors import StorageUnavailable
from app.intake.receive import Receiver
from app.metrics.recorder import Recorder
from app.ratelimit.limit import Limit
from app.ratelimit.shared_memory import SharedLimiter
from app.ratelimit.token_bucket import token_bucket
from app.services import Services
from app.state.bucket_table import BucketTable
from app.storage.memory import MemoryStore

PATH = "/mail/inbound"
RAW = b"From: ann@example.org\r\nTo: bob@example.com\r\n\r\n"
BURST = 3
MAIL = replace(application.MAIL, max_message_size=1000)


class Notes:
    """An in-memory recorder: what was told, in order, as name and arguments."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *given, **named: self.all.append((name, *given, *named.values()))

    def of(self, *names: str) -> list[tuple[Any, ...]]:
        """Return what was told by calls of `names`."""
        return [each for each in self.all if each[0] in names]


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def make_client(store: MemoryStore, notes: Notes) -> Callable[..., FlaskClient]:
    """Return a function that makes a client of an application, with a limiter or without."""

    def now() -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC)

    def make(
        limiter: SharedLimiter | None = None,
        endpoints_for: Callable[[str], tuple[str, ...]] | None = None,
    ) -> FlaskClient:
        receiver = Receiver(store, MAIL, now, 8, endpoints_for)
        limit = None if limiter is None else Limit(limiter, 60, BURST)
        app: Flask = create_app(
            Services(store, receiver, TOKENS, (), limit, recorder=cast("Recorder", notes))
        )
        return app.test_client()

    return make


@pytest.fixture
def client(make_client: Callable[..., FlaskClient]) -> FlaskClient:
    return make_client()


def test_the_endpoints_are_the_routes(client: FlaskClient, notes: Notes) -> None:
    """The recorder knows every path of the application, and that before its first request."""
    [(_, rules, mail_rules)] = notes.of("know_endpoints")
    assert set(mail_rules) == {PATH, "/email"}
    assert set(rules) == {
        *(PATH, "/email", "/health", "/ready", "/metrics", "/openapi.json"),
        *("/messages", "/messages/delete", "/messages/<id>", "/messages/<id>/raw"),
        "/messages/<id>/parts/<part>",
        *("/deliveries", "/deliveries/<id>", "/deliveries/<id>/retry", "/deliveries/<id>/discard"),
        *("/replays", "/endpoints", "/endpoints/<name>/pause", "/endpoints/<name>/resume"),
        "/endpoints/<name>/test",
        "unmatched",
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("HEAD", "/ready", 200),
        ("GET", "/nothing", 404),
        ("GET", PATH, 405),
        ("POST", PATH, 401),
        ("BREW", "/health", 405),
        ("OPTIONS", "/health", 200),
        ("GET", "/health/", 404),
        ("GET", "/Health", 404),
        ("POST", "/mail/inbound2", 404),
        ("GET", "/\xfcnknown", 404),
    ],
)
def test_each_request_is_told_once(
    client: FlaskClient, notes: Notes, method: str, path: str, status: int
) -> None:
    """With its method, route, status, time, and the bytes of its answer."""
    answer = client.open(path, method=method, query_string="secret=1")
    assert answer.status_code == status
    [(_, *told, seconds, size)] = notes.of("request")
    assert told == [method, "unmatched" if status == 404 else path, status]
    assert 0 < seconds < 5
    assert size == len(answer.data)


def test_a_stored_message_is_told_with_its_size(client: FlaskClient, notes: Notes) -> None:
    """One call with size and time, and none that says otherwise."""
    assert post_mail(client, RAW).status_code == 200
    [(_, size, seconds)] = notes.of("stored")
    assert size == len(RAW)
    assert 0 < seconds < 5
    assert notes.of("not_stored", "error", "rate_limit") == []


def test_a_duplicate_is_told_as_such(client: FlaskClient, notes: Notes) -> None:
    """The second copy isn't one more stored message."""
    for _ in range(2):
        assert post_mail(client, RAW, Idempotency_Key="same").status_code == 200
    assert len(notes.of("stored")) == 1
    assert notes.of("not_stored") == [("not_stored", "duplicate")]


def test_a_message_without_an_endpoint_is_told_once(
    make_client: Callable[..., FlaskClient], notes: Notes
) -> None:
    """Neither one that has an endpoint, nor a duplicate, nor one that was refused."""
    client = make_client(endpoints_for=lambda address: ("a",) if "ann" in address else ())
    for recipient in ("ann", "bob", "bob"):
        address = {"X_Original_Recipient": f"{recipient}@example.com"}
        assert post_mail(client, RAW, **address).status_code == 200
    assert post_mail(client, b"").status_code == 422
    assert notes.of("without_endpoint") == [("without_endpoint",)]


def test_where_there_are_no_endpoints_none_is_missed(client: FlaskClient, notes: Notes) -> None:
    """Their mail is read by the API."""
    assert post_mail(client, RAW).status_code == 200
    assert notes.of("without_endpoint") == []


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"{", {"Content-Type": "application/json"}, "bad_request"),
        (b"From: a@spam.example\r\nTo: b@example.com\r\n\r\n", {}, "policy_reject"),
        (RAW + bytes(1000), {}, "message_too_large"),
        (RAW, {"Content-Type": "text/html"}, "unsupported_media_type"),
        (b"", {}, "message_rejected"),
        (b"From: a@example.org\r\nTo: b@example.org\r\n\r\n", {}, "recipient_unknown"),
    ],
)
def test_a_refused_message_is_told_with_its_code(
    client: FlaskClient, notes: Notes, body: bytes, headers: dict[str, str], code: str
) -> None:
    """It is rejected, for the reason that the client reads."""
    assert post_mail(client, body, **headers).get_json()["code"] == code
    assert notes.of("not_stored") == [("not_stored", "rejected")]
    assert notes.of("error") == [("error", code, PATH)]
    assert notes.of("stored") == []


@pytest.mark.parametrize(
    ("error", "code"),
    [(StorageUnavailable("full"), "storage_unavailable"), (ZeroDivisionError(), "internal_error")],
)
def test_what_fails_here_is_an_error(
    *,
    client: FlaskClient,
    store: MemoryStore,
    notes: Notes,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    code: str,
) -> None:
    """A message that couldn't be stored isn't rejected: the relay keeps it."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(store, "add", fail)
    assert post_mail(client, RAW).get_json()["code"] == code
    assert notes.of("not_stored") == [("not_stored", "error")]
    assert notes.of("error") == [("error", code, PATH)]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", PATH, "unauthorized"),
        ("POST", "/email", "unauthorized"),
        ("GET", PATH, "method_not_allowed"),
        ("POST", "/nothing", "not_found"),
    ],
)
def test_what_nobody_looked_at_is_no_message(
    client: FlaskClient, notes: Notes, method: str, path: str, code: str
) -> None:
    """The error is told, but nothing of a message."""
    client.open(path, method=method, data=RAW)
    endpoint = "unmatched" if code == "not_found" else path
    assert notes.of("error") == [("error", code, endpoint)]
    assert notes.of("stored", "not_stored") == []


def test_each_decision_of_the_limit_is_told(
    make_client: Callable[..., FlaskClient], notes: Notes
) -> None:
    """Allowed up to the burst, then denied; other paths aren't decided about."""
    client = make_client(SharedLimiter(BucketTable(), token_bucket(60, BURST)))
    for _ in range(BURST + 1):
        client.post(PATH)
    client.get("/health")
    decisions = [("rate_limit", True)] * BURST + [("rate_limit", False)]
    assert notes.of("rate_limit") == decisions
    assert notes.of("error")[-1] == ("error", "rate_limited", PATH)
    assert notes.of("not_stored") == []
