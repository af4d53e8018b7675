"""Who gets to the inbox page: nobody without a session, and no other site with one."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from support.application import API_AUTHORIZATION, AUTHORIZATION
from support.clock import Clock
from support.deliveries import add_for
from support.endpoints import endpoint
from support.inbox import FROM_THE_PAGE, log_in, page, post_form, text_of
from support.reading import get
from support.store import stored
from support.tokens import API_TOKEN
from werkzeug.test import TestResponse

from app import create_app
from app.auth.session import new_session
from app.auth.tokens import TokenKind, make_token
from app.services import Services
from app.settings import Endpoint
from app.storage.delivery import State
from app.storage.interface import MessageStore
from app.storage.memory import MemoryStore

pytestmark = pytest.mark.parametrize("store", [MemoryStore], indirect=True)

WITHOUT_SESSION = {"/inbox/login", "/inbox/static/<name>"}
SCRIPT = "/inbox/newer"
FORGED = f"99999999999.{'a' * 22}.{'a' * 43}"
RULES = [
    ("/inbox", "GET"),
    ("/inbox/", "GET"),
    ("/inbox/newer", "GET"),
    ("/inbox/overview", "GET"),
    ("/inbox/endpoints", "GET"),
    ("/inbox/endpoints/<name>/pause", "POST"),
    ("/inbox/endpoints/<name>/resume", "POST"),
    ("/inbox/endpoints/<name>/test", "POST"),
    ("/inbox/endpoints/<name>/replay", "GET"),
    ("/inbox/endpoints/<name>/replay", "POST"),
    ("/inbox/deliveries", "GET"),
    ("/inbox/deliveries/<id>/retry", "POST"),
    ("/inbox/logout", "POST"),
    ("/inbox/<id>", "GET"),
    ("/inbox/<id>/html", "GET"),
    ("/inbox/<id>/raw", "GET"),
    ("/inbox/<id>/parts/<part>", "GET"),
    ("/inbox/<id>/delete", "GET"),
    ("/inbox/<id>/delete", "POST"),
    ("/inbox/<path:rest>", "GET"),
]
PAGES = [(rule, method) for rule, method in RULES if rule != SCRIPT]
UNSAFE = [(rule, method) for rule, method in RULES if method == "POST"]
FOREIGN: dict[str, dict[str, str]] = {
    "another site": {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    "another port": {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:4000"},
    "another port, an old browser": {"Origin": "http://localhost:4000"},
    "an opaque frame": {"Origin": "null"},
    "a redirect": {"Sec-Fetch-Site": "none"},
    "nobody knows": {},
}


@pytest.fixture
def endpoints() -> tuple[Endpoint, ...]:
    """Return an endpoint, which refuses connections."""
    return (endpoint("app", url="http://169.254.169.254/"),)


@pytest.fixture
def message_id(store: MessageStore) -> str:
    """Return the id of a message with a delivery."""
    return add_for(store, "app").message_id


def path_of(rule: str, message_id: str) -> str:
    """Return a path that `rule` matches, with what is stored."""
    names = {"<name>": "app", "<id>": message_id, "<part>": "1", "<path:rest>": "a/b/c"}
    if rule.startswith("/inbox/deliveries/"):
        names["<id>"] = "dlv_0000000000002"
    return re.sub("<[^>]*>", lambda found: names[found[0]], rule)


def session_of(client: FlaskClient) -> str:
    """Return the value of the client's cookie, which is sent to /inbox only."""
    cookie = client.get_cookie("gomail_session", path="/inbox")
    assert cookie is not None
    return cookie.value


def with_cookie(
    client: FlaskClient, value: str, path: str = "/inbox", **headers: str
) -> TestResponse:
    """Request a page with this session, and whatever else a client other than a browser sends."""
    bare = client.application.test_client(use_cookies=False)
    return bare.get(path, headers=headers | {"Cookie": f"gomail_session={value}"})


def state_of(store: MessageStore) -> Any:
    """Return what could be changed by the page."""
    queue = store.deliveries
    delivery, _ = queue.get(1)
    return stored(store), delivery, queue.paused(), queue.replays()


def test_the_rules_are_these(app: Flask) -> None:
    """Each route of the page is in the list that other tests here go through."""
    rules = {
        (rule.rule, method)
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if rule.rule.startswith("/inbox") and method not in {"HEAD", "OPTIONS"}
    }
    assert {(rule, method) for rule, method in rules if rule not in WITHOUT_SESSION} == set(RULES)
    assert {rule for rule, _ in rules} >= WITHOUT_SESSION


@pytest.mark.parametrize(("rule", "method"), PAGES)
@pytest.mark.parametrize(
    "headers", [{}, API_AUTHORIZATION, AUTHORIZATION, {"Cookie": f"gomail_session={FORGED}"}]
)
def test_without_a_session_all_pages_lead_to_the_login(
    *,
    client: FlaskClient,
    store: MessageStore,
    message_id: str,
    rule: str,
    method: str,
    headers: dict[str, str],
) -> None:
    """Nothing is shown or done, not even for who sends the token itself in each request."""
    before = state_of(store)
    path = path_of(rule, message_id)
    bare = client.application.test_client(use_cookies=False)
    answer = bare.open(path, method=method, headers=headers | FROM_THE_PAGE)
    assert answer.status_code == 303
    assert answer.headers["Location"].partition("?")[0] == "/inbox/login"
    assert answer.data == b""
    assert state_of(store) == before


def test_without_a_session_scripts_are_told_so(client: FlaskClient) -> None:
    """By a status and a document, since a script would follow a redirect."""
    answer = client.get(f"{SCRIPT}?after=")
    assert (answer.status_code, answer.get_json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(("rule", "method"), RULES)
def test_with_a_session_all_pages_are_there(
    client: FlaskClient, message_id: str, rule: str, method: str
) -> None:
    """The requests of the tests here are such as do something."""
    log_in(client)
    path = path_of(rule, message_id)
    query = "?after=" if rule == SCRIPT else ""
    data = {"since": "2026-01-01"} if "replay" in rule and method == "POST" else None
    answer = client.open(path + query, method=method, headers=FROM_THE_PAGE, data=data)
    expected = {"/inbox/<path:rest>": 404, "/inbox/<id>/html": 404}
    expected["/inbox/endpoints/<name>/test"] = 200
    assert answer.status_code == expected.get(rule, 303 if method == "POST" else 200), answer.text
    assert "login" not in answer.headers.get("Location", "") or rule == "/inbox/logout"


@pytest.mark.parametrize(("rule", "method"), UNSAFE)
@pytest.mark.parametrize("who", FOREIGN)
def test_no_other_site_does_anything(
    *,
    client: FlaskClient,
    store: MessageStore,
    message_id: str,
    rule: str,
    method: str,
    who: str,
) -> None:
    """Though the browser sends the cookie along, as it does from another port of the host."""
    log_in(client)
    before = state_of(store)
    path = path_of(rule, message_id)
    data = {"since": "2026-01-01"}
    answer = client.open(path, method=method, headers=FOREIGN[who], data=data)
    assert answer.status_code == 403
    assert "does not come from the inbox page" in answer.text
    assert state_of(store) == before
    assert client.get("/inbox").status_code == 200  # still logged in


@pytest.mark.parametrize("who", FOREIGN)
def test_no_other_site_logs_anyone_in(client: FlaskClient, who: str) -> None:
    """With a token of its own, to see what is done afterwards."""
    answer = client.post("/inbox/login", data={"token": API_TOKEN}, headers=FOREIGN[who])
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(("rule", "method"), [*RULES, ("/inbox/login", "GET")])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", ""])
def test_another_host_is_refused(
    *,
    client: FlaskClient,
    store: MessageStore,
    message_id: str,
    rule: str,
    method: str,
    host: str,
) -> None:
    """A name that a site has pointed at this server (rebinding): with a session, and without."""
    before = state_of(store)
    session = session_of(log_in(client))
    bare = client.application.test_client(use_cookies=False)
    path, environ = path_of(rule, message_id), {"HTTP_HOST": host}
    for given in ({}, {"Cookie": f"gomail_session={session}"}):
        headers = FROM_THE_PAGE | given
        answer = bare.open(path, method=method, headers=headers, environ_overrides=environ)
        assert answer.status_code == 403
        assert "allowed_hosts" in answer.text
    assert state_of(store) == before


@pytest.mark.parametrize("host", ["localhost:3000", "127.0.0.1", "[::1]:80", "mail.example.com"])
def test_these_hosts_are_served(client: FlaskClient, host: str) -> None:
    """The usual ones, and those of allowed_hosts."""
    answer = client.get("/inbox/login", headers={"Host": host})
    assert answer.status_code == 200


def test_the_api_takes_no_cookie(client: FlaskClient, message_id: str) -> None:
    """A session opens pages, and nothing that takes an api_token; the cookie isn't sent there."""
    session = session_of(log_in(client))
    assert client.get_cookie("gomail_session", path="/") is None
    for path in ("/messages", f"/messages/{message_id}", "/deliveries", "/endpoints"):
        answer = with_cookie(client, session, path)
        assert (answer.status_code, answer.get_json()["code"]) == (401, "unauthorized")
    assert with_cookie(client, session).status_code == 200
    assert get(client, "/messages").status_code == 200


Reloaded = Callable[[Any], FlaskClient]


@pytest.fixture
def reloaded(app: Flask) -> Reloaded:
    """Return a function that makes a client of a worker with other tokens, but the same store."""

    def make(tokens: Any) -> FlaskClient:
        services: Services = app.extensions["gomail"]
        return create_app(replace(services, tokens=tuple(tokens))).test_client()

    return make


def test_a_session_is_valid_in_each_worker_and_ends_with_its_token(
    client: FlaskClient, app: Flask, reloaded: Reloaded
) -> None:
    """A reload that takes the token out ends its sessions, and those of others go on."""
    old, new = (make_token(TokenKind.API, text) for text in (API_TOKEN, "new-token-" * 4))
    services: Services = app.extensions["gomail"]
    now = services.clock()
    sessions = {token: new_session(token, now) for token in (old, new)}
    assert with_cookie(client, sessions[old]).status_code == 200
    both = reloaded([old, new])
    assert [with_cookie(both, each).status_code for each in sessions.values()] == [200, 200]
    rotated = reloaded([new])
    assert with_cookie(rotated, sessions[old]).headers["Location"] == "/inbox/login"
    assert with_cookie(rotated, sessions[new]).status_code == 200


def test_a_session_ends_after_twelve_hours(client: FlaskClient, clock: Clock[datetime]) -> None:
    """However much it is used."""
    session = session_of(log_in(client))
    for hours, status in ((6, 200), (11.99, 200), (12, 303)):
        clock.now = datetime.fromisoformat("2026-03-01T12:00Z") + timedelta(hours=hours)
        assert with_cookie(client, session).status_code == status


def test_a_logout_ends_the_session_itself(client: FlaskClient, reloaded: Reloaded) -> None:
    """A copy of the cookie is worth nothing afterwards, in no worker; another session is."""
    first, second = (session_of(log_in(client)) for _ in range(2))
    answer = post_form(client, "/inbox/logout")
    assert answer.headers["Location"] == "/inbox/login"
    assert client.get_cookie("gomail_session", path="/inbox") is None
    for each in (client, reloaded([make_token(TokenKind.API, API_TOKEN)])):
        assert with_cookie(each, second).status_code == 303
        assert with_cookie(each, first).status_code == 200


def test_a_get_changes_nothing(client: FlaskClient, store: MessageStore, message_id: str) -> None:
    """Neither on the routes that are read, nor where something is done by POST."""
    log_in(client)
    before = state_of(store)
    for rule, _ in RULES:
        for method in ("GET", "HEAD", "OPTIONS"):
            query = "?done=deleted&since=2026-01-01&tab=deliveries"
            client.open(path_of(rule, message_id) + query, method=method)
            client.open(path_of(rule, message_id), method=method)
    assert state_of(store) == before
    assert client.get("/inbox").status_code == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_other_methods_are_refused_by_a_page(client: FlaskClient, method: str) -> None:
    """405 with what is allowed, for people."""
    log_in(client)
    answer = client.open("/inbox/logout", method=method, headers=FROM_THE_PAGE)
    assert (answer.status_code, answer.mimetype) == (405, "text/html")
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize(
    ("rule", "method"), [*RULES, ("/inbox/login", "GET"), ("/inbox/x/y", "GET")]
)
@pytest.mark.parametrize("is_logged_in", [True, False])
def test_each_answer_keeps_others_out(
    client: FlaskClient, message_id: str, rule: str, method: str, is_logged_in: bool
) -> None:
    """No script or style but its own, in no frame, in no cache, without a full Referer."""
    if is_logged_in:
        log_in(client)
    answer = client.open(path_of(rule, message_id), method=method, headers=FROM_THE_PAGE)
    headers = answer.headers
    policy = dict(
        each.split(" ", 1) for each in headers["Content-Security-Policy"].split("; ") if " " in each
    )
    assert policy["default-src"] == "'none'"
    assert policy.get("script-src", "'self'") == "'self'"
    assert policy.get("frame-ancestors", "'none'") == "'none'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] in {"same-origin", "no-referrer"}
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert not any(name.startswith("Access-Control") for name, _ in headers)


def test_files_of_the_page_are_public_and_cached(client: FlaskClient) -> None:
    """By their content, of which the URL has the digest; nothing else is read from the disk."""
    document = page(client, "/inbox/login")
    [sheet] = document.xpath("//link[@rel='stylesheet']/@href")
    answer = client.get(sheet)
    assert (answer.status_code, answer.mimetype) == (200, "text/css")
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    again = client.get(sheet, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    for name in ("x", "..", "%2e%2e", "..%2f__init__.py", "inbox.css.map", "__init__.py"):
        assert client.get(f"/inbox/static/{name}").status_code in {303, 404}


def test_without_an_inbox_there_is_no_page(app: Flask) -> None:
    """With inbox_enabled: false, the paths are as unknown as any others."""
    services: Services = app.extensions["gomail"]
    client = create_app(replace(services, inbox=None)).test_client()
    for path in ("/inbox", "/inbox/login", "/inbox/static/inbox.css"):
        answer = client.get(path)
        assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")


def test_failures_are_pages_that_tell_nothing(
    client: FlaskClient, store: MessageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the server is shown without its cause, and the request's id with it."""
    log_in(client)

    def fail(*_: object) -> None:
        raise RuntimeError("/var/lib/gomail is secret")

    monkeypatch.setattr(store, "page", fail)
    document = page(client, "/inbox", 500)
    assert "secret" not in text_of(document, "html")
    assert "Something failed in the server" in text_of(document)
    assert "request " in text_of(document)


def test_a_delivery_is_pending(store: MessageStore, message_id: str) -> None:
    """What the tests here compare is there."""
    assert state_of(store)[1].state is State.PENDING
    assert message_id in stored(store)
