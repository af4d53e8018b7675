"""No request gets round the limit or the token, whatever its target looks like."""

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from support.application import AUTHORIZATION, MAIL
from support.tokens import TOKEN

from app import create_app
from app.errors import ERRORS
from app.intake.receive import Receiver
from app.ratelimit.token_bucket import Decision
from app.services import Services, now
from app.settings import RateLimit
from app.storage.memory import MemoryStore

PUBLIC = {"/health", "/ready", "/metrics", "/openapi.json"}
WITHOUT_A_ROUTE = {"not_found", "method_not_allowed"}
PIECES = ["/", "//", "mail", "inbound", "/mail/inbound", "/email", "/health", "..", ".", "%2f", "%"]
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"]


class CountingLimiter:
    """Lets everything pass, and counts."""

    def __init__(self) -> None:
        self.taken = 0

    def take(self, _client: str, /) -> Decision:
        """Take one token."""
        self.taken += 1
        return Decision(True, 1, 0, 0)


def counted_app() -> tuple[Flask, CountingLimiter]:
    limiter, limit = CountingLimiter(), RateLimit(60, 10, None, ())
    store = MemoryStore()
    services = Services(store, Receiver(store, MAIL, now, 1), (TOKEN.encode(),), limit, limiter)
    return create_app(services), limiter


APP, LIMITER = counted_app()
targets = st.lists(st.sampled_from(PIECES), max_size=6).map("".join) | st.text(
    st.characters(max_codepoint=255), max_size=20
)


def ask(path: str, method: str, client: FlaskClient) -> tuple[str | None, bool]:
    """Return the code of the answer, None for a success, and whether a token was taken for it."""
    before = LIMITER.taken
    answer = client.open("/", method=method, environ_overrides={"PATH_INFO": path}, data=b"x")
    is_problem = answer.content_type == "application/problem+json"
    code = answer.get_json()["code"] if is_problem and method != "HEAD" else None
    if is_problem and method == "HEAD":
        [code, *_] = [kind.code for kind in ERRORS.values() if kind.status == answer.status_code]
    return code, LIMITER.taken > before


@given(targets, st.sampled_from(METHODS))
def test_whatever_is_not_public_takes_a_token_and_asks_for_one(path: str, method: str) -> None:
    """A request for no public route counts, and is refused without a bearer token."""
    code, is_counted = ask(path, method, APP.test_client())
    is_public = f"/{path.lstrip('/')}" in PUBLIC
    assert is_counted != is_public
    if not is_public:
        assert code in WITHOUT_A_ROUTE | {"unauthorized"}


@pytest.mark.parametrize("path", ["//mail/inbound", "///email", "/mail/inbound", "/email"])
def test_a_slash_more_gets_round_nothing(path: str) -> None:
    """The router takes leading slashes off: what it matches is limited and closed."""
    assert ask(path, "POST", APP.test_client()) == ("unauthorized", True)


def test_a_new_route_is_closed() -> None:
    """One that says nothing about access needs a token, and counts."""
    app, limiter = counted_app()
    app.add_url_rule("/new/<name>", view_func=lambda name: f"open {name}?", endpoint="new")
    client = app.test_client()
    assert client.get("/new/x").status_code == 401
    assert client.get("/new/x", headers=AUTHORIZATION).data == b"open x?"
    assert limiter.taken == 2


def test_the_public_routes_are_these() -> None:
    """What needs no token is listed here, so that another one is a decision."""
    found = {
        rule.rule
        for rule in APP.url_map.iter_rules()
        if getattr(APP.view_functions[rule.endpoint], "_is_public", False)
    }
    assert found == PUBLIC
