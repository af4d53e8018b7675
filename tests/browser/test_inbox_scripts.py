"""Nothing that comes from outside is HTML on the inbox page, and no script of it runs."""

from collections.abc import Iterator
from email.header import Header
from urllib.parse import quote

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page
from support.endpoint_server import EndpointServer, answering
from support.inbox_visit import send, walk
from support.server import Server, wait_for

SAID = "a script has run"


def evil(name: str) -> str:
    """Return text that ends whatever it is in, and tries to run a script; `name` is found in it."""
    script = f"console.log('{SAID}')"
    return (
        f"{name}'\"></title></textarea></script></pre><b data-evil onclick=a onfocus={script}>"
        f"<script>{script}</script><img src=x data-evil onerror={script}>{{{{7*191}}}}-{name}"
    )


def shown(name: str) -> str:
    """Return the end of `evil(name)` as a page shows it when it is escaped."""
    return f"{{{{7*191}}}}-{name}"


def encoded(name: str) -> str:
    return Header(evil(name), "utf-8").encode(linesep="\r\n")


def evil_mail() -> bytes:
    head = "\r\n".join(
        [
            f"From: {encoded('from')} <ann@example.org>",
            f"To: {encoded('to')} <bob@example.com>",
            f"Cc: {encoded('cc')} <carol@example.com>",
            f"Reply-To: {encoded('reply-to')} <ann@example.org>",
            f"Subject: {encoded('subject')}",
            f"X-Field: {encoded('header')}",
            "X-<script>console.log(1)</script><b/data-evil>: named",
            f"List-Unsubscribe: <javascript:console.log('{SAID}')>",
            "Message-ID: <a\"'><b/data-evil>@example.org>",
            "MIME-Version: 1.0",
            "Content-Type: multipart/mixed; boundary=b",
        ]
    )
    name = quote(evil("filename"))
    parts = (
        f"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n{evil('text')}\r\n"
        f" javascript:console.log('{SAID}') http://a.test/\"onfocus=console.log(1)\r\n"
        f"--b\r\nContent-Type: image/svg+xml\r\n"
        f"Content-Disposition: attachment; filename*=utf-8''{name}\r\n\r\n<svg onload='a'/>\r\n"
        f"--b--\r\n"
    )
    return (head + parts).encode()


ENVELOPE = {
    "X_Original_Sender": '"<b/data-evil>\'"@example.org',
    "X_Original_Recipient": "bob@example.com",
    "X_Original_Helo": evil("helo"),
    "X_Original_Client_Hostname": evil("hostname"),
    "X_Original_Queue_Id": evil("queue"),
}
PLACES = [
    *("from", "to", "cc", "reply-to", "subject", "header", "filename", "text", "helo", "queue"),
    *("hostname", "answer"),
]
PARAMETERS = [
    *("subject", "recipient", "sender", "queue_id", "header_message_id", "since", "until"),
    *("after", "before", "tab", "done", "next", "remote", "limit", "unknown"),
]


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server with an endpoint that answers with HTML."""
    body = evil("answer").encode()
    head = f"HTTP/1.1 400 {evil('reason')}\r\nContent-Type: text/html"
    answer = f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with (
        EndpointServer(answering(answer)) as endpoint,
        Server(tmp_path_factory.mktemp("server"), webhook_url=endpoint.url()) as server,
    ):
        yield server.start()


@pytest.fixture
def found(context: BrowserContext) -> list[str]:
    """Return what scripts say, and what the browser has refused by a policy."""
    said: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if SAID in message.text or "Content Security Policy" in message.text:
            said.append(f"{message.page and message.page.url}: {message.text}")

    context.on("console", note)
    context.on("weberror", lambda error: said.append(str(error.error)))
    return said


def assert_clean(page: Page) -> None:
    """Fail if foreign text has become elements, links or attributes, or a template was filled."""
    evils = "[data-evil], [onclick], [onerror], [onfocus], [href^='javascript' i]"
    assert page.locator(evils).count() == 0, page.content()
    assert "1337" not in page.content()


def text_of(page: Page) -> str:
    """Return what is on the page, also in closed details and in fields."""
    fields = page.eval_on_selector_all("input", "each => each.map(one => one.value)")
    return str(page.locator("body").text_content()) + "".join(fields)


def test_foreign_text_is_text_on_every_page(page: Page, inbox: Server, found: list[str]) -> None:
    """Also that of answers of endpoints; each piece is seen on some page, so it was there."""
    message_id = send(inbox, evil_mail(), **ENVELOPE)
    seen = ""
    wait_for(lambda: shown("answer") in text_at(page, f"/inbox/{message_id}?tab=deliveries"))
    for _ in walk(page, "/inbox", f"/inbox/{message_id}"):
        assert_clean(page)
        seen += text_of(page)
    assert [place for place in PLACES if shown(place) not in seen] == []
    assert found == []


def text_at(page: Page, path: str) -> str:
    page.goto(path)
    return text_of(page)


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_what_was_searched_is_text(
    page: Page, inbox: Server, found: list[str], parameter: str
) -> None:
    """In the search form, in what is said about a wrong parameter, on the login page."""
    message_id = send(inbox, evil_mail(), **ENVELOPE)
    for path in ("/inbox", "/inbox/login", f"/inbox/{message_id}", "/inbox/endpoints"):
        for name in (parameter, evil(parameter)):
            page.goto(f"{path}?{quote(name)}={quote(evil(parameter))}")
            assert_clean(page)
    assert found == []


@pytest.mark.parametrize(
    "path", ["/inbox/{}", "/inbox/{}/html", "/inbox/x/parts/{}", "/inbox/static/{}"]
)
def test_paths_in_errors_are_text(page: Page, found: list[str], path: str) -> None:
    """A page about an error has no HTML of the request's."""
    page.goto(path.format(quote(evil("path"), safe="")))
    assert_clean(page)
    assert [each for each in found if SAID in each] == []


def test_a_wrong_token_is_not_shown(context: BrowserContext, found: list[str]) -> None:
    """The login page says that it is wrong, and doesn't repeat it."""
    page = context.new_page()
    page.goto("/inbox/login")
    page.locator("input[type=password]").fill(evil("token"))
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    assert_clean(page)
    assert shown("token") not in page.content()
    assert found == []


def test_mail_that_appears_by_itself_is_text(page: Page, inbox: Server, found: list[str]) -> None:
    """What the script adds to the list is as harmless as what the server has put there."""
    page.goto("/inbox")
    another = {"X_Original_Queue_Id": evil("another")}  # or it would be taken for a repeat
    message_id = send(inbox, evil_mail(), **ENVELOPE | another)
    row = page.locator(f"a[href*='{message_id}']")
    row.wait_for()
    assert "<b data-evil" in str(row.text_content())
    assert_clean(page)
    assert found == []
