"""Whatever stands in a message, a request or an answer, the inbox page shows it as text."""

import json
from collections.abc import Sequence
from urllib.parse import quote, urlencode

import pytest
from flask.testing import FlaskClient
from lxml import html
from support.deliveries import at, claim
from support.endpoints import endpoint
from support.inbox import log_in, post_form
from support.reading import send
from werkzeug.test import TestResponse

from app.settings import Endpoint
from app.storage.delivery import Attempt, Result, State
from app.storage.ids import new_message_id
from app.storage.interface import MessageStore
from app.storage.memory import MemoryStore
from app.storage.message import Envelope, Message, SMTPClient
from app.web.inbox.message_page import TABS

pytestmark = pytest.mark.parametrize("store", [MemoryStore], indirect=True)

MARK = "zq7"
"""Stands in each hostile text, so that it is known where one is shown."""
HOSTILE = [
    f"<script>{MARK}()</script>",
    f"<img src=x onerror={MARK}()>",
    f'"><svg onload={MARK}()>',
    f"' onmouseover='{MARK}()' x='",
    f"</title></textarea></pre></style><script>{MARK}()</script>",
    f"{{{{ {MARK} }}}}{{% set a = 1 %}}",
    f"javascript:{MARK}()",
    f"&lt;script&gt;{MARK}&lt;/script&gt;",
    f"<base href=//evil.example><meta http-equiv=refresh content=0;url=//evil.example>{MARK}",
    f"\u202e{MARK}\u2066<b>\u200b",
    f'https://evil.example/"onclick={MARK}()//<b>',
    f"<b onclick={MARK}()> https://evil.example/ <i onclick={MARK}()>",
    f"]]>--><iframe srcdoc='<script>{MARK}()</script>'>",
]
ALLOWED = {
    *("html", "head", "meta", "title", "link", "script", "body", "a", "header", "p", "nav", "ul"),
    *("li", "form", "button", "main", "h1", "h2", "h3", "label", "input", "details", "summary"),
    *("div", "ol", "span", "bdi", "time", "article", "dl", "dt", "dd", "section", "pre", "code"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "iframe", "b", "select", "option"),
    *("svg", "rect", "dialog", "kbd"),
}


@pytest.fixture
def endpoints() -> tuple[Endpoint, ...]:
    """Return an endpoint."""
    return (endpoint("app"),)


def check(answer: TestResponse) -> str:
    """Check that a page has only what its template puts there; return its text."""
    assert answer.mimetype == "text/html"
    text = answer.get_data(as_text=True)
    document = html.document_fromstring(text)
    for element in document.iter():
        assert element.tag in ALLOWED, element.tag
        for name, value in element.attrib.items():
            assert not name.startswith("on"), name
            assert name not in {"style", "srcdoc", "formaction"}, name
            if name in {"href", "src", "action"}:
                assert value.startswith(("/inbox", "#", "https://evil.example/"))
                assert element.tag == "a" or not value.startswith("https:")
    scripts = [
        (str(each.get("src")).partition("?")[0], each.text) for each in document.iter("script")
    ]
    assert scripts == [("/inbox/static/inbox.js", None)]
    assert len(list(document.iter("iframe"))) <= 1
    for invisible in "\u202e\u2066\u200b":
        assert invisible not in "".join(
            document.xpath("//h1//text() | //ol//text() | //dl//text()")
        )
    return text


def add_hostile(store: MessageStore, text: str) -> str:
    """Store a message that has `text` wherever the store keeps one."""
    connection = SMTPClient(text, text, text)
    envelope = Envelope(text, text, connection, text, text)
    message = Message(new_message_id(at(0)), at(0), envelope, text, text, ("app",))
    body = store.new_body()
    quoted = json.dumps(text).encode()
    body.write(
        b"From: " + quoted + b" <a@example.org>\r\nTo: " + text.encode() + b"\r\n"
        b"Cc: =?utf-8?q?" + quote(text).replace("%", "=").encode() + b"?= <b@example.org>\r\n"
        b"Reply-To: " + text.encode() + b"@example.org\r\n"
        b"Subject: "
        + text.encode()
        + b"\r\n"
        + b"X-"
        + MARK.encode()
        + b"<b>: "
        + text.encode()
        + b"\r\n"
        b"Message-ID: " + text.encode() + b"\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text.encode() + b"\r\n"
        b"--b\r\nContent-Type: text/html\r\n\r\n" + text.encode() + b"\r\n"
        b"--b\r\nContent-Type: application/x; name=" + quoted + b"\r\n"
        b"Content-Disposition: attachment; filename*=utf-8''"
        + quote(text, safe="").encode()
        + b"\r\n"
        b"\r\nx\r\n--b--\r\n"
    )
    return store.add(message, body).message_id


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_message_is_shown_as_text(
    client: FlaskClient, store: MessageStore, text: str
) -> None:
    """In the list, in each view, before its deletion, and in the rows for the script."""
    log_in(client)
    path = f"/inbox/{add_hostile(store, text)}"
    for tab in TABS:
        shown = check(client.get(f"{path}?tab={tab}"))
        assert MARK in shown
    for each in ("/inbox", f"{path}/delete", "/inbox/deliveries"):
        assert MARK in check(client.get(each))
    rows = client.get("/inbox/newer?after=").get_json()["rows"]
    assert MARK in rows
    fragment = html.fragment_fromstring(rows, create_parent="ol")
    assert {each.tag for each in fragment.iter()} == {"ol", "li", "a", "span", "bdi", "time"}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_endpoint_is_shown_as_text(
    client: FlaskClient, store: MessageStore, text: str
) -> None:
    """What it answers, and the text of an error."""
    log_in(client)
    path = f"/inbox/{add_hostile(store, 'harmless')}"
    [claimed] = claim(store.deliveries)
    made = Attempt(at(0), text, 500, 3, text, text.encode() + b"\xff\x00")
    store.deliveries.finish([Result(claimed, State.DEAD, None, True, made, text)])
    assert check(client.get(f"{path}?tab=deliveries")).count(MARK) >= 3
    assert MARK in check(client.get("/inbox/endpoints"))
    assert MARK in check(client.get("/inbox/deliveries"))
    store.deliveries.pause("app", text)
    assert MARK in check(client.get("/inbox/endpoints"))


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    "name", ["subject", "recipient", "sender", "since", "queue_id", "header_message_id", "x"]
)
def test_a_hostile_search_is_shown_as_text(client: FlaskClient, name: str, text: str) -> None:
    """In its field, in what is wrong with it, and in the links to other pages."""
    log_in(client)
    for number in range(3):
        send(client, f"From: a@example.org\r\nTo: bob@example.com\r\n\r\n{number}".encode())
    answer = client.get(f"/inbox?{urlencode({name: text, 'limit': '1'})}")
    check(answer)
    assert answer.status_code in {200, 400}
    check(client.get(f"/inbox?{urlencode({text: 'x'})}"))
    check(client.get(f"/inbox/deliveries?{urlencode({'endpoint': text, 'recipient': text})}"))
    check(
        client.get(f"/inbox/endpoints/app/replay?{urlencode({'since': text, 'recipient': text})}")
    )


PLACES: Sequence[str] = (
    "/inbox/{}",
    "/inbox/{}/delete",
    "/inbox/a/b/{}",
    "/inbox/endpoints/{}/replay",
    "/inbox/static/{}",
    "/inbox/login?next={}",
    "/inbox?done={}",
    "/inbox?before={}",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_path_is_shown_as_text(client: FlaskClient, text: str) -> None:
    """By the pages of errors, whether somebody is logged in or not."""
    for place in PLACES:
        for is_logged_in in (False, True):
            if is_logged_in:
                log_in(client)
            answer = client.get(place.format(quote(text, safe="")))
            if answer.status_code != 303:
                check(answer)
        post_form(client, "/inbox/logout")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_head_is_shown_as_text(client: FlaskClient, text: str) -> None:
    """Host and request id are shown by pages of errors."""
    sent = text.encode("ascii", "ignore").decode()
    for headers in ({"Host": sent}, {"X-Request-ID": sent}, {"Host": f"localhost:{sent}"}):
        environ = {"HTTP_HOST": headers["Host"]} if "Host" in headers else {}
        answer = client.get("/inbox/login?x=1", headers=headers, environ_overrides=environ)
        assert answer.status_code in {400, 403}
        check(answer)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_login_is_shown_as_text(client: FlaskClient, text: str) -> None:
    """What was typed isn't shown at all."""
    answer = post_form(client, "/inbox/login", token=text, next=text)
    assert answer.status_code == 401
    assert MARK not in check(answer)


@pytest.mark.parametrize("text", [*HOSTILE[:3], HOSTILE[4], HOSTILE[8], HOSTILE[12]])
def test_the_check_sees_what_is_not_escaped(client: FlaskClient, text: str) -> None:
    """It would fail if a template let a subject through."""
    answer = log_in(client).get("/inbox")
    answer.set_data(answer.text.replace("<h1>", f"<h1>{text}"))
    with pytest.raises(AssertionError):
        check(answer)
