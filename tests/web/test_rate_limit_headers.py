"""The rate limit as clients see it: headers, the refusal, and who is counted."""

import json
from datetime import UTC, datetime
from ipaddress import ip_network

import pytest
from flask import Flask
from flask.testing import FlaskClient
from support.application import API_AUTHORIZATION, AUTHORIZATION, MAIL, Post
from support.clock import Clock
from support.tokens import TOKEN, TOKENS
from werkzeug.test import TestResponse

from app import create_app
from app.auth.tokens import TokenKind
from app.intake.receive import Receiver
from app.ratelimit.limit import Limit
from app.ratelimit.shared_memory import SharedLimiter
from app.ratelimit.token_bucket import token_bucket
from app.services import Services
from app.state.bucket_table import BucketTable
from app.storage.interface import MessageStore, Query
from app.storage.memory import MemoryStore
from app.web.access import needs

RAW = b"From: ann@example.org\r\nTo: bob@example.com\r\nSubject: Hi\r\n\r\nBody"
NOW = datetime.fromtimestamp(1_700_000_000.25, UTC)
NAMES = {
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "RateLimit",
    "RateLimit-Policy",
}
TRUSTED = (ip_network("127.0.0.0/8"),)


@pytest.fixture
def limiter_clock() -> Clock[int]:
    """Return the clock of the buckets; the time of day stands still at NOW."""
    return Clock(10**15)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def limited_app(store: MessageStore, clock: Clock[int], per_minute: int, burst: int) -> Flask:
    receiver = Receiver(store, MAIL, lambda: datetime(2026, 3, 1, tzinfo=UTC), 8)
    limit = None
    if per_minute:
        limiter = SharedLimiter(BucketTable(), token_bucket(per_minute, burst), clock_ns=clock)
        limit = Limit(limiter, per_minute, burst)
    services = Services(store, receiver, TOKENS, TRUSTED, limit, clock=lambda: NOW)
    return create_app(services)


@pytest.fixture
def app(store: MemoryStore, limiter_clock: Clock[int]) -> Flask:
    return limited_app(store, limiter_clock, per_minute=60, burst=3)


def limit_headers(answer: TestResponse) -> dict[str, str]:
    return {name: value for name, value in answer.headers if name in NAMES}


def test_the_headers_say_how_matters_stand(post: Post, limiter_clock: Clock[int]) -> None:
    """Each value is exact, from the first request to the refusal and the one after the wait."""
    expected = [(2, 1, 200), (1, 2, 200), (0, 3, 200), (0, 3, 429)]
    for remaining, full_after, status in expected:
        answer = post(RAW)
        assert answer.status_code == status
        assert limit_headers(answer) == {
            "X-RateLimit-Limit": "60",
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": str(1_700_000_001 + full_after),
            "RateLimit": f'"minute";r={remaining};t={full_after}',
            "RateLimit-Policy": '"minute";q=60;w=60;burst=3',
        }
    limiter_clock.now += 2_500_000_000
    answer = post(RAW)
    assert limit_headers(answer) == {
        "X-RateLimit-Limit": "60",
        "X-RateLimit-Remaining": "1",
        "X-RateLimit-Reset": "1700000002",  # 0.25 s + 1.5 s, rounded up
        "RateLimit": '"minute";r=1;t=2',
        "RateLimit-Policy": '"minute";q=60;w=60;burst=3',
    }


def test_a_refusal_is_a_problem_with_the_time_to_wait(
    post: Post, limiter_clock: Clock[int], store: MemoryStore
) -> None:
    """429 `rate_limited`, and nothing is stored; after Retry-After the next one passes."""
    for _ in range(3):
        post(RAW, Idempotency_Key=str(limiter_clock.now))
        limiter_clock.now += 1
    answer = post(RAW, Idempotency_Key="refused")
    assert (answer.status_code, answer.content_type) == (429, "application/problem+json")
    assert json.loads(answer.data)["code"] == "rate_limited"
    assert json.loads(answer.data)["status"] == 429
    assert answer.headers["Retry-After"] == "1"
    assert store.count(Query()) == 3
    limiter_clock.now += 1_000_000_000
    assert post(RAW, Idempotency_Key="later").status_code == 200
    assert store.count(Query()) == 4


@pytest.mark.parametrize(("per_minute", "seconds"), [(1, 60), (7, 9), (59, 2), (6000, 1)])
def test_retry_after_is_rounded_up_to_seconds(
    store: MemoryStore, limiter_clock: Clock[int], per_minute: int, seconds: int
) -> None:
    """The header has whole seconds; waiting that long is always enough, and no second too much."""
    client = limited_app(store, limiter_clock, per_minute, burst=1).test_client()
    client.get("/email")
    assert client.get("/email").headers["Retry-After"] == str(seconds)
    limiter_clock.now += (seconds - 1) * 1_000_000_000
    if seconds > 1:
        assert client.get("/email").status_code == 429
    limiter_clock.now += 1_000_000_000
    assert client.get("/email").status_code == 405


@pytest.mark.parametrize(
    ("method", "headers", "body", "status"),
    [
        ("POST", {}, RAW, 200),
        ("POST", {"Authorization": "Bearer wrong"}, RAW, 401),
        ("POST", {"X-Original-Sender": "x@spam.example"}, RAW, 403),
        ("GET", {}, b"", 405),
        ("DELETE", {}, b"", 405),
        ("POST", {}, b"x" * 100_001, 413),
        ("POST", {"Content-Type": "image/png"}, RAW, 415),
        ("POST", {"X-Original-Recipient": "bob@elsewhere.example"}, RAW, 422),
        ("POST", {"Content-Type": "application/json"}, b"{", 400),
    ],
)
def test_every_answer_of_a_limited_route_carries_the_headers(
    client: FlaskClient, method: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    """Whatever becomes of the request, it took a token, and the answer says what is left."""
    given = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "message/rfc822"} | headers
    answer = client.open("/mail/inbound", method=method, headers=given, data=body)
    assert answer.status_code == status
    assert limit_headers(answer).keys() == NAMES
    assert answer.headers["X-RateLimit-Remaining"] == "2"


def test_an_unexpected_failure_carries_the_headers(
    post: Post, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 500 is no way to look uncounted."""
    monkeypatch.setattr(store, "new_body", None)
    answer = post(RAW)
    assert answer.status_code == 500
    assert answer.headers["X-RateLimit-Remaining"] == "2"


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/openapi.json"])
def test_public_routes_are_not_limited(client: FlaskClient, path: str) -> None:
    """Probes take no token and carry no such header."""
    answers = [client.get(path) for _ in range(10)]
    assert 429 not in {answer.status_code for answer in answers}
    assert not any(limit_headers(answer) for answer in answers)
    assert client.get("/email").headers["X-RateLimit-Remaining"] == "2"


def test_both_paths_take_from_one_bucket(client: FlaskClient) -> None:
    """The older path is no second allowance."""
    statuses = [client.get(path).status_code for path in ("/email", "/mail/inbound") * 2]
    assert statuses == [405, 405, 405, 429]


@pytest.fixture
def reader(store: MemoryStore, limiter_clock: Clock[int]) -> FlaskClient:
    """Return a client of an application with a route that reads, and small limits."""
    table, receiver = BucketTable(), Receiver(store, MAIL, lambda: NOW, 8)
    limit, api_limit = (
        Limit(SharedLimiter(table, token_bucket(rate, 2), limiter_clock), rate, 2, prefix)
        for rate, prefix in ((60, ""), (600, "api:"))
    )
    services = Services(store, receiver, TOKENS, TRUSTED, limit, api_limit, clock=lambda: NOW)
    app = create_app(services)
    app.add_url_rule("/read", view_func=needs(TokenKind.API)(lambda: "read"), endpoint="read")
    return app.test_client()


def test_reading_has_a_limit_of_its_own(reader: FlaskClient) -> None:
    """A client that reads a lot can still deliver; headers describe the limit that was applied."""
    for expected in (200, 200, 429, 429):
        answer = reader.get("/read", headers=API_AUTHORIZATION)
        assert answer.status_code == expected
    assert answer.headers["X-RateLimit-Limit"] == "600"
    assert answer.headers["RateLimit-Policy"] == '"minute";q=600;w=60;burst=2'
    assert answer.headers["Retry-After"] == "1"
    other = reader.post("/mail/inbound", headers=AUTHORIZATION, data=RAW)
    assert other.status_code == 200
    assert other.headers["X-RateLimit-Limit"] == "60"
    assert other.headers["X-RateLimit-Remaining"] == "1"


def test_guessing_tokens_for_reading_is_limited(reader: FlaskClient) -> None:
    """Guesses use the same bucket as the right token, which is then refused like them."""
    for _ in range(2):
        assert reader.get("/read", headers={"Authorization": "Bearer guess"}).status_code == 401
    assert reader.get("/read", headers=API_AUTHORIZATION).status_code == 429


def test_guessing_tokens_is_limited(client: FlaskClient) -> None:
    """The limit comes before the token is looked at: the right one doesn't help any more."""
    for _ in range(3):
        guess = client.post("/mail/inbound", headers={"Authorization": "Bearer guess"})
        assert guess.status_code == 401
    right = client.post("/mail/inbound", headers={"Authorization": f"Bearer {TOKEN}"}, data=RAW)
    assert right.status_code == 429


def remaining(client: FlaskClient, peer: str, **headers: str) -> str:
    """Take a token as `peer` and return how many are left."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = client.get("/email", headers=named, environ_base={"REMOTE_ADDR": peer})
    return answer.headers["X-RateLimit-Remaining"]


@pytest.mark.parametrize("name", ["X_Forwarded_For", "X_Real_IP", "X_Original_Client_Address"])
def test_headers_name_the_client_of_a_trusted_peer_only(client: FlaskClient, name: str) -> None:
    """Each of the three headers chooses the bucket for loopback, and nothing for a stranger."""
    assert remaining(client, "127.0.0.1", **{name: "192.0.2.1"}) == "2"
    assert remaining(client, "127.0.0.1", **{name: "192.0.2.2"}) == "2"
    assert remaining(client, "127.0.0.2", **{name: "192.0.2.1"}) == "1"
    assert remaining(client, "192.0.2.1") == "0"
    assert remaining(client, "203.0.113.9", **{name: "192.0.2.3"}) == "2"
    assert remaining(client, "203.0.113.9", **{name: "192.0.2.4"}) == "1"


def test_who_reads_cannot_choose_a_bucket_as_a_relay_can(reader: FlaskClient) -> None:
    """X-Original-Client-Address is about the client that has sent a message to the relay."""
    for number in range(3):
        named = {"X-Original-Client-Address": f"192.0.2.{number}"}
        answer = reader.get("/read", headers=API_AUTHORIZATION | named)
    assert answer.status_code == 429


def test_zero_a_minute_switches_the_limit_off(
    store: MemoryStore, limiter_clock: Clock[int]
) -> None:
    """No request is refused, and no header speaks of a limit."""
    client = limited_app(store, limiter_clock, per_minute=0, burst=1).test_client()
    answers = [client.get("/email") for _ in range(100)]
    assert {answer.status_code for answer in answers} == {405}
    assert not any(limit_headers(answer) for answer in answers)
