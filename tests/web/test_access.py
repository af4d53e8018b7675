"""No request gets round the limit or the token, whatever its target looks like."""

import re
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from support.application import API_AUTHORIZATION, AUTHORIZATION, MAIL
from support.inbox import inbox_services
from support.store import add, stored
from support.tokens import TOKENS

from app import create_app
from app.auth.tokens import TokenKind
from app.errors import ERRORS
from app.intake.receive import Receiver
from app.ratelimit.limit import Limit
from app.ratelimit.token_bucket import Decision
from app.services import Services, now
from app.storage.memory import MemoryStore
from app.web.access import is_public, needed_kind, needs

PUBLIC = {"/health", "/ready", "/metrics", "/openapi.json", "/inbox/static/<name>"}
DELIVERY = {"/mail/inbound", "/email"}
WITHOUT_A_ROUTE = {"not_found", "method_not_allowed"}
PIECES = ["/", "//", "mail", "inbound", "/mail/inbound", "/email", "/health", "..", ".", "%2f", "%"]
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"]
WORD = b"a-word-of-a-stored-message"
DELIVERED_MAIL = b"From: ann@example.org\r\nTo: bob@example.com\r\n\r\n"
KINDS = {TokenKind.BEARER: AUTHORIZATION, TokenKind.API: API_AUTHORIZATION}


class CountingLimiter:
    """Allows everything, and records whose bucket was used."""

    def __init__(self) -> None:
        self.clients: list[str] = []

    def take(self, client: str, /) -> Decision:
        """Take one token."""
        self.clients.append(client)
        return Decision(True, 1, 0, 0)

    def give_back(self, client: str, /) -> None:
        """Put it back."""
        self.clients.remove(client)


def counted_app(store: MemoryStore) -> tuple[Flask, CountingLimiter]:
    limiter = CountingLimiter()
    receiver, limit = Receiver(store, MAIL, now, 1), Limit(limiter, 60, 10)
    api_limit = Limit(limiter, 600, 60, "api:")
    inbox = inbox_services(Path("/nowhere"))
    services = Services(store, receiver, TOKENS, (), limit, api_limit, inbox=inbox)
    return create_app(services), limiter


APP, LIMITER = counted_app(MemoryStore())
ROUTES = sorted(
    (rule.rule, method, rule.endpoint)
    for rule in APP.url_map.iter_rules()
    for method in rule.methods or ()
)
# Those of the inbox page take no token at all: see test_inbox_access.py.
TAKING_TOKENS = [
    (rule, method) for rule, method, _ in ROUTES if not rule.startswith("/inbox") or rule in PUBLIC
]
targets = st.lists(st.sampled_from(PIECES), max_size=6).map("".join) | st.text(
    st.characters(max_codepoint=255), max_size=20
)


def ask(path: str, method: str, client: FlaskClient) -> tuple[str | None, bool]:
    """Return the code of the answer, None for a success, and whether a token was taken for it."""
    before = len(LIMITER.clients)
    answer = client.open("/", method=method, environ_overrides={"PATH_INFO": path}, data=b"x")
    is_problem = answer.content_type == "application/problem+json"
    code = answer.get_json()["code"] if is_problem and method != "HEAD" else None
    if is_problem and method == "HEAD":
        [code, *_] = [kind.code for kind in ERRORS.values() if kind.status == answer.status_code]
    return code, len(LIMITER.clients) > before


@given(targets, st.sampled_from(METHODS))
def test_whatever_is_not_public_takes_a_token_and_asks_for_one(path: str, method: str) -> None:
    """A request for a route that isn't public counts, and is refused without a token."""
    code, is_counted = ask(path, method, APP.test_client())
    is_public = f"/{path.lstrip('/')}" in PUBLIC
    assert is_counted != is_public
    if not is_public:
        assert code in WITHOUT_A_ROUTE | {"unauthorized"}


@pytest.mark.parametrize("path", ["//mail/inbound", "///email", "/mail/inbound", "/email"])
def test_a_slash_more_gets_round_nothing(path: str) -> None:
    """The router takes leading slashes off: what it matches is limited and closed."""
    assert ask(path, "POST", APP.test_client()) == ("unauthorized", True)


def test_a_route_that_declares_nothing_is_closed() -> None:
    """Requests count, and are refused with either kind of token."""
    app, limiter = counted_app(MemoryStore())
    app.add_url_rule("/new/<name>", view_func=lambda name: f"open {name}?", endpoint="new")
    client = app.test_client()
    assert client.get("/new/x").status_code == 401
    for headers in KINDS.values():
        answer = client.get("/new/x", headers=headers)
        assert (answer.status_code, answer.get_json()["code"]) == (403, "forbidden")
    assert len(limiter.clients) == 3


def test_the_public_routes_are_these() -> None:
    """What needs no token is listed here, so that another one is a decision."""
    with APP.app_context():
        assert {
            rule for rule, _, endpoint in ROUTES if is_public(APP.view_functions[endpoint])
        } == PUBLIC


def test_only_delivery_takes_a_bearer_token() -> None:
    """All other routes that aren't public declare that they need an api_token."""
    with APP.app_context():
        kinds = {rule: needed_kind(APP.view_functions[endpoint]) for rule, _, endpoint in ROUTES}
    for rule in kinds.keys() - PUBLIC:
        assert kinds[rule] is (TokenKind.BEARER if rule in DELIVERY else TokenKind.API), rule


def with_reading() -> tuple[Flask, CountingLimiter, MemoryStore, str]:
    """Return an application with an added route that reads, and a stored message."""
    store = MemoryStore()
    message_id = add(store, WORD)
    app, limiter = counted_app(store)

    @app.get("/read/<message_id>")
    @needs(TokenKind.API)
    def read(message_id: str) -> bytes:
        return store.read(message_id)

    return app, limiter, store, message_id


@pytest.mark.parametrize(("rule", "method"), [*TAKING_TOKENS, ("/read/<message_id>", "GET")])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_token_is_for_its_own_routes(rule: str, method: str, kind: TokenKind) -> None:
    """On all routes and methods, a bearer_token reads nothing, and an api_token delivers nothing.

    The refusal has the code `forbidden`, and nothing in the store changes.
    """
    app, _, store, message_id = with_reading()
    path = re.sub("<[^>]*>", message_id, rule)
    answer = app.test_client().open(
        path, method=method, headers=KINDS[kind], data=DELIVERED_MAIL if rule in DELIVERY else b""
    )
    needed = TokenKind.BEARER if rule in DELIVERY else TokenKind.API
    if rule in PUBLIC or kind is needed:
        assert answer.status_code not in {401, 403}
        return
    assert answer.status_code == 403
    assert answer.content_type == "application/problem+json"
    assert WORD not in answer.data
    assert stored(store) == {message_id: WORD}
    if method != "HEAD":
        assert answer.get_json()["code"] == "forbidden"


@pytest.mark.parametrize("headers", [*KINDS.values(), {}])
def test_the_route_decides_which_bucket_is_used(headers: dict[str, str]) -> None:
    """Whatever the token, so that a right guess can't be recognized by its bucket."""
    app, limiter, _, message_id = with_reading()
    client = app.test_client()
    client.get(f"/read/{message_id}", headers=headers)
    client.post("/mail/inbound", headers=headers, data=DELIVERED_MAIL)
    client.get("/nothing", headers=headers)
    assert limiter.clients == ["api:127.0.0.1", "127.0.0.1", "127.0.0.1"]


def test_the_refusal_says_which_token_is_needed() -> None:
    """And which one the request has, and what that is for."""
    app, _, _, message_id = with_reading()
    client = app.test_client()
    reading = client.get(f"/read/{message_id}", headers=AUTHORIZATION).get_json()
    assert reading["detail"].startswith("This route needs an api_token, and the request has a bea")
    delivery = client.post("/email", headers=API_AUTHORIZATION, data=DELIVERED_MAIL).get_json()
    assert delivery["detail"].startswith("This route needs a bearer_token, and the request has an")
