"""Logging in to the inbox page: with an api_token, ten failures a minute, and a line in the log."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import ip_network
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from support.inbox import FROM_THE_PAGE, log_in, page, post_form, text_of
from support.reading import send
from support.tokens import API_TOKEN, TOKEN, TOKENS
from werkzeug.test import TestResponse

from app import create_app
from app.services import Services
from app.storage.memory import MemoryStore

pytestmark = pytest.mark.parametrize("store", [MemoryStore], indirect=True)
PATH = "/inbox/login"
BEARER, API = TOKENS
ELSEWHERE = [
    *("https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "/"),
    *("/inbox/../messages", "/inboxes", "/inbox//../x", "/inbox\\x", "javascript:alert(1)"),
    *("/inbox/a\r\nSet-Cookie: a=b", "/inbox/\u00fc", "inbox", "/inbox@evil.example", "/inbox."),
    *("/inbox/%2e%2e/messages", "/inbox/.%2E/x", "/inbox/./x", "/inbox%2f..%2fx"),
]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    """Return a function that gives the lines logged so far about what people did."""
    caplog.set_level(logging.INFO)
    name = "app.web.inbox.audit"
    return lambda: [vars(record) for record in caplog.records if record.name == name]


def fail(client: FlaskClient, token: str = "wrong-token-" * 3, **headers: str) -> TestResponse:
    """Log in with a wrong token."""
    return client.post(PATH, data={"token": token}, headers=FROM_THE_PAGE | headers)


def test_the_cookie_is_for_the_page_alone(client: FlaskClient) -> None:
    """No script reads it, no other site sends it, and it ends after twelve hours."""
    cookie = post_form(client, PATH, token=API_TOKEN).headers["Set-Cookie"]
    attributes = cookie.split("; ")[1:]
    assert {"HttpOnly", "SameSite=Strict", "Path=/inbox", "Max-Age=43200"} <= set(attributes)
    assert "Secure" not in attributes
    assert "Domain" not in cookie
    assert API_TOKEN not in cookie


@pytest.mark.parametrize(
    ("headers", "peer", "is_secure"),
    [
        ({"Origin": "https://localhost"}, "192.0.2.1", True),
        ({"X-Forwarded-Proto": "https"}, "127.0.0.1", True),
        ({"X-Forwarded-Proto": "https"}, "192.0.2.1", False),
        ({"X-Forwarded-Proto": "http"}, "127.0.0.1", False),
        ({"Origin": "http://localhost"}, "127.0.0.1", False),
    ],
)
def test_over_https_the_cookie_is_secure(
    client: FlaskClient, headers: dict[str, str], peer: str, is_secure: bool
) -> None:
    """As the browser says, or a proxy that is trusted."""
    answer = client.post(
        PATH,
        data={"token": API_TOKEN},
        headers=FROM_THE_PAGE | headers,
        environ_overrides={"REMOTE_ADDR": peer},
    )
    assert answer.status_code == 303
    assert ("; Secure" in answer.headers["Set-Cookie"]) == is_secure


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("wrong-token-of-somebody", "not a valid api_token"),
        (TOKEN, "is a bearer_token"),
        ("", "Type an api_token"),
        ("   ", "Type an api_token"),
        ("\u00fc" * 20, "not a valid api_token"),
        (API_TOKEN[:-1], "not a valid api_token"),
    ],
)
def test_another_token_is_refused(client: FlaskClient, token: str, text: str) -> None:
    """The form is shown again with what was wrong, and without what was typed."""
    answer = fail(client, token)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "Set-Cookie" not in answer.headers
    assert text in answer.text
    assert not token.strip() or token not in answer.text


def test_a_token_may_be_pasted_with_space_around(client: FlaskClient) -> None:
    """As it comes out of `cat data/api-token`."""
    assert post_form(client, PATH, token=f" {API_TOKEN}\n").status_code == 303


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"token=a&token=b", "application/x-www-form-urlencoded", 400),
        (b"token=a&other=b", "application/x-www-form-urlencoded", 400),
        (b"token=%ff", "application/x-www-form-urlencoded", 400),
        (b"token=\xff", "application/x-www-form-urlencoded", 400),
        (b"token=" + b"a" * 5000, "application/x-www-form-urlencoded", 400),
        (b"token=" + b"a" * 20_000, "application/x-www-form-urlencoded", 413),
        (b"&".join(b"a%d=b" % n for n in range(30)), "application/x-www-form-urlencoded", 400),
        (b'{"token": "a"}', "application/json", 415),
        (b"token=a", "text/plain", 415),
    ],
)
def test_anything_but_the_form_is_refused(
    client: FlaskClient, data: bytes, kind: str, status: int
) -> None:
    """By a page, without a session."""
    answer = client.post(PATH, data=data, headers=FROM_THE_PAGE | {"Content-Type": kind})
    assert (answer.status_code, answer.mimetype) == (status, "text/html")
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("wanted", ["/inbox/{}?tab=headers", "/inbox?subject=a%26b&limit=5"])
def test_a_login_leads_to_where_one_wanted_to_go(client: FlaskClient, wanted: str) -> None:
    """From a link to a message or a search, with its query, through the form."""
    wanted = wanted.format(send(client))
    to_login = client.get(wanted).headers["Location"]
    assert to_login == f"{PATH}?next={quote(wanted, safe='')}"
    document = page(client, to_login)
    [hidden] = document.xpath("//input[@type='hidden']")
    assert (hidden.get("name"), hidden.get("value")) == ("next", wanted)
    answer = post_form(client, PATH, token=API_TOKEN, next=hidden.get("value"))
    assert answer.headers["Location"] == wanted
    assert client.get(to_login).headers["Location"] == wanted  # logged in already


@pytest.mark.parametrize("wanted", ELSEWHERE)
def test_a_login_leads_nowhere_else(client: FlaskClient, wanted: str) -> None:
    """Neither to another host, nor to another part of this one."""
    answer = post_form(client, PATH, token=API_TOKEN, next=wanted)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/inbox")
    shown = client.get(f"{PATH}?next={quote(wanted)}")
    assert shown.headers["Location"] == "/inbox"


@pytest.mark.parametrize(
    "path", ["/inbox/%0d%0aSet-Cookie:%20a=b", "/inbox/%c3%bc?x=%5c", "/inbox/%5c"]
)
def test_a_strange_path_makes_no_strange_header(client: FlaskClient, path: str) -> None:
    """The redirect to the login page is one line of ASCII."""
    answer = client.get(path)
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith(PATH)
    assert answer.headers["Location"].isascii()
    assert "Set-Cookie" not in answer.headers


def test_a_link_on_another_site_can_be_followed(client: FlaskClient) -> None:
    """The browser sends no cookie with it: the login page offers a link of its own."""
    other = client.application.test_client()
    linked = other.get(f"{PATH}?next=/inbox/overview", headers={"Sec-Fetch-Site": "cross-site"})
    assert 'href="/inbox/overview">Continue' in linked.text
    assert "Continue" not in other.get(PATH).text


def test_ten_failed_logins_a_minute(client: FlaskClient) -> None:
    """Then even the right token is refused, and told when to come back; others aren't."""
    assert [fail(client).status_code for _ in range(12)] == [401] * 10 + [429] * 2
    answer = post_form(client, PATH, token=API_TOKEN)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 6
    assert "Set-Cookie" not in answer.headers
    assert f"try again in {answer.headers['Retry-After']} seconds" in answer.text
    elsewhere = {"REMOTE_ADDR": "192.0.2.1"}
    other = client.post(
        PATH, data={"token": API_TOKEN}, headers=FROM_THE_PAGE, environ_overrides=elsewhere
    )
    assert other.status_code == 303


def test_failed_logins_at_the_same_moment_are_ten_as_well(app: Flask) -> None:
    """However many threads try."""
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: fail(app.test_client()).status_code, range(40)))
    assert sorted(statuses) == [401] * 10 + [429] * 30


def test_logins_that_succeed_are_not_counted(client: FlaskClient) -> None:
    """A person may log in as often as they like, and still has ten failures."""
    for _ in range(25):
        log_in(client)
    assert [fail(client).status_code for _ in range(11)] == [401] * 10 + [429]


def test_a_client_behind_a_proxy_has_its_own_failures(app: Flask) -> None:
    """The one whose address the trusted proxy names."""
    services: Services = app.extensions["gomail"]
    trusting = replace(services, trusted_proxies=(ip_network("127.0.0.0/8"),))
    client = create_app(trusting).test_client()
    for _ in range(11):
        answer = fail(client, **{"X-Forwarded-For": "192.0.2.7"})
    assert answer.status_code == 429
    assert fail(client, **{"X-Forwarded-For": "192.0.2.8"}).status_code == 401


def test_logins_and_logouts_are_logged(client: FlaskClient, lines: Any) -> None:
    """With the token's fingerprint, never with the token."""
    fail(client)
    fail(client, TOKEN)
    log_in(client)
    post_form(client, "/inbox/logout")
    found = [(line["message"], line["token"], line["client"]) for line in lines()]
    assert found == [
        ("Login to the inbox page failed", None, "127.0.0.1"),
        ("Login to the inbox page failed", BEARER.fingerprint, "127.0.0.1"),
        ("Logged in to the inbox page", API.fingerprint, "127.0.0.1"),
        ("Logged out of the inbox page", API.fingerprint, "127.0.0.1"),
    ]


def test_a_login_that_is_refused_is_logged(client: FlaskClient, lines: Any) -> None:
    """So that guessing is seen."""
    for _ in range(11):
        fail(client)
    assert lines()[-1]["message"] == "Login to the inbox page refused: too many failed ones"


def test_the_form_says_where_the_token_is(client: FlaskClient) -> None:
    """For who has just installed the server; it has a label, and password managers know it."""
    document = page(client, PATH)
    assert "api-token in the data directory" in text_of(document)
    [field] = document.xpath("//input[@id='token']")
    assert (field.get("type"), field.get("autocomplete")) == ("password", "current-password")
    assert document.xpath("//label[@for='token']")
    assert not document.xpath("//nav")
