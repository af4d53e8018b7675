"""The inbox page is for everybody: WCAG 2.2 AA, by keyboard alone, on any screen."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page
from support.endpoint_server import OK, EndpointServer, answering
from support.html_mail import PNG, html_mail
from support.inbox_visit import log_in, send
from support.plain_mail import plain_mail
from support.server import NewServer, Server, wait_for

RULES = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }
}
REFUSING = OK.replace(b"200 OK", b"400 Bad Request")
LONG = "a-word-without-any-space-" * 20
TABBABLE = """() => Array.from(
    document.querySelectorAll("a[href], button, input, select, textarea, summary, iframe"))
    .filter(each => each.checkVisibility() && !each.disabled && each.type !== "hidden")
    .map(each => each.outerHTML.slice(0, 200))"""
FOCUSED = """() => {
    const each = document.activeElement, style = getComputedStyle(each);
    return [each.outerHTML.slice(0, 200),
            style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1];
}"""


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server with messages of several kinds, and an endpoint that refuses them."""
    with (
        EndpointServer(answering(REFUSING)) as endpoint,
        Server(tmp_path_factory.mktemp("server"), webhook_url=endpoint.url()) as server,
    ):
        server.start()
        for number in range(60):  # more than a page
            send(server, plain_mail(f"number {number}", b"some text\r\n" * number))
        send(server, html_mail("<p>with a picture<img alt=a src='cid:a'>", {"a": PNG}, LONG))
        yield server


def newest(server: Server) -> str:
    """Return the id of the message with HTML."""
    headers = {"Authorization": f"Bearer {server.api_token}"}
    listed = server.request("GET", "/messages?limit=1", headers=headers).json()
    return str(listed["messages"][0]["id"])


def kinds_of_pages(server: Server) -> list[str]:
    """Return a path for each kind of page, in each state that looks different."""
    message = f"/inbox/{newest(server)}"
    tabs = ("text", "html", "headers", "source", "attachments", "deliveries")
    return [
        *("/inbox", "/inbox?subject=number", "/inbox?subject=nothing", "/inbox?since=wrong"),
        *(f"{message}?tab={tab}" for tab in tabs),
        *(f"{message}/delete", "/inbox/endpoints", "/inbox/overview", "/inbox/nothing"),
    ]


def violations(page: Page) -> list[str]:
    """Return what axe finds, on the page and in its frames."""
    found: list[dict[str, Any]] = Axe().run(page, options=RULES).response["violations"]
    return [
        f"{page.url} {each['id']}: {node['html']} {node['failureSummary']}"
        for each in found
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(
    page: Page, inbox: Server, scheme: Literal["light", "dark"], width: int
) -> None:
    """On each kind of page, light and dark, on a small phone and on a desk."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    found = []
    for path in kinds_of_pages(inbox):
        page.goto(path)
        found += violations(page)
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/inbox/login")
    found += violations(page)
    page.locator("input[type=password]").fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    found += violations(page)
    assert found == []


def test_axe_finds_what_is_wrong(page: Page) -> None:
    """The test above sees faults: a picture without a text, too little contrast."""
    page.goto("/inbox/overview")
    page.evaluate(
        "document.querySelector('main').insertAdjacentHTML('beforeend',"
        " '<img src=\"data:,\"><p id=a>some text</p>');"
        "document.getElementById('a').style.cssText = 'color:#777;background:#888'"
    )
    assert {each.split()[1] for each in violations(page)} == {"image-alt:", "color-contrast:"}


@pytest.mark.parametrize("width", [320, 1280, 2560])
def test_no_page_is_wider_than_the_screen(page: Page, inbox: Server, width: int) -> None:
    """Nobody has to scroll sideways to read (WCAG 1.4.10), also with long words in a subject."""
    page.set_viewport_size({"width": width, "height": 800})
    for path in kinds_of_pages(inbox):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_everything_is_reached_by_the_keyboard(page: Page, inbox: Server) -> None:
    """Tab reaches each link, button and field, in a way that is seen, and then leaves."""
    for path in kinds_of_pages(inbox):
        page.goto(path)
        expected = set(page.evaluate(TABBABLE))
        seen = set()
        for _ in range(len(expected) + 12):  # fields for dates have several parts
            page.keyboard.press("Tab")
            focused, is_seen = page.evaluate(FOCUSED)
            # Of a date, the part is marked; of the body and a frame, what is in it.
            is_part = focused.startswith(("<body", "<iframe")) or 'type="date"' in focused
            assert is_seen or is_part, (path, focused)
            seen.add(focused)
        assert expected - seen == set(), path


def test_a_message_is_found_read_and_deleted_by_the_keyboard(page: Page, inbox: Server) -> None:
    """From the list to an empty search, without a mouse."""
    message_id = send(inbox, plain_mail("for the keyboard", b"hello"))
    page.goto("/inbox")
    page.get_by_role("searchbox").first.focus()
    page.keyboard.type("for the keyboard")
    page.keyboard.press("Enter")
    page.wait_for_url("**subject=for*")
    press(page, page.locator(f"a[href^='/inbox/{message_id}']").first)
    page.wait_for_url(f"**/inbox/{message_id}*")
    press(page, page.get_by_role("link", name="Headers"))
    page.wait_for_url("**tab=headers")
    press(page, page.get_by_role("link", name="Delete"))
    page.wait_for_url("**/delete")
    press(page, page.get_by_role("main").get_by_role("button", name="Delete"))
    page.wait_for_url("**done=deleted")
    answer = page.goto(f"/inbox/{message_id}")
    assert answer is not None
    assert answer.status == 404


def press(page: Page, target: Locator) -> None:
    """Press Tab until `target` has the focus, then Enter."""

    def arrive() -> bool:
        page.keyboard.press("Tab")
        return bool(target.evaluate("each => each === document.activeElement"))

    wait_for(arrive)
    page.keyboard.press("Enter")


@pytest.mark.parametrize("width", [320, 1280])
def test_an_empty_inbox_tells_what_to_do(
    chromium: Browser, new_server: NewServer, width: int
) -> None:
    """The line for curl is there, it fits the screen, and axe finds nothing."""
    server = new_server().start()
    with closing(chromium.new_context(base_url=server.url)) as made:
        page = made.new_page()
        page.set_viewport_size({"width": width, "height": 800})
        log_in(page, server.api_token)
        assert "curl" in page.get_by_role("main").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert violations(page) == []
