"""New messages appear in the list by themselves, and none is lost on the way."""

import random
import re
import time
from contextlib import closing
from itertools import pairwise
from typing import TypeVar

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect
from support.inbox_visit import log_in, send
from support.plain_mail import plain_mail
from support.server import NewServer, Server, wait_for

SOON_SECONDS = 1.5
NEWER = re.compile(r"/inbox/newer\?")
SLEEP = """isAsleep => {
    Object.defineProperty(document, "hidden", {value: isAsleep, configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""
STAYS = "window.isTheSamePage = true"

Noted = TypeVar("Noted")


@pytest.fixture
def listed(page: Page, inbox: Server) -> Page:
    """Return a list with a message in it, whose script waits for more."""
    send(inbox, plain_mail("the first", b"a"))
    with page.expect_request(NEWER):
        page.goto("/inbox")
    page.evaluate(STAYS)
    return page


def end_the_wait(inbox: Server) -> str:
    """Send a message, which the request of the script gets that already waits for one."""
    return send(inbox, plain_mail(f"number {random.random()}", b"a"))


def row(page: Page, message_id: str) -> Locator:
    """Return the link to a message in the list."""
    return page.locator(f"ol.messages a[href='/inbox/{message_id}']")


def test_a_message_appears_at_once(listed: Page, inbox: Server) -> None:
    """At the top of the list, without a reload; the focus stays, and screen readers are told."""
    listed.locator("ol.messages a").first.focus()
    focused = listed.evaluate("document.activeElement.href")
    began = time.monotonic()
    message_id = send(inbox, plain_mail("it appears", b"a"))
    first = listed.locator("ol.messages a").first
    expect(first).to_have_attribute("href", f"/inbox/{message_id}")
    assert time.monotonic() - began < SOON_SECONDS
    expect(first).to_contain_text("it appears")
    assert listed.evaluate("window.isTheSamePage")
    assert listed.evaluate("document.activeElement.href") == focused
    expect(listed.get_by_role("status")).to_have_text("1 new message")
    send(inbox, plain_mail("another one", b"a"))
    expect(listed.get_by_role("status")).to_have_text("2 new messages")


def test_only_what_the_search_finds_appears(page: Page, inbox: Server) -> None:
    """A search is as live as the list, with its filters."""
    with page.expect_request(NEWER):
        page.goto("/inbox?subject=wanted")
    send(inbox, plain_mail("something else", b"a"))
    message_id = send(inbox, plain_mail("the wanted one", b"a"))
    expect(page.locator("ol.messages a").first).to_have_attribute("href", f"/inbox/{message_id}")
    expect(page.locator("ol.messages .row", has_text="something else")).to_have_count(0)


def test_the_first_message_of_all_appears(chromium: Browser, new_server: NewServer) -> None:
    """What an empty inbox tells to do makes room for the message."""
    server = new_server().start()
    with closing(chromium.new_context(base_url=server.url)) as context:
        page = context.new_page()
        log_in(page, server.api_token)
        expect(page.get_by_text("No messages yet")).to_be_visible()
        send(server, plain_mail("the first of all", b"a"))
        expect(page.locator("ol.messages .row")).to_have_count(1)
        expect(page.get_by_text("No messages yet")).to_have_count(0)


def test_nothing_is_lost_without_a_network(listed: Page, inbox: Server) -> None:
    """All that came meanwhile appears afterwards, once each, newest first."""
    status = listed.get_by_role("status")
    listed.context.set_offline(True)
    first = end_the_wait(inbox)
    expect(status).to_contain_text("does not answer")
    ids = [first, *(send(inbox, plain_mail(f"offline {number}", b"a")) for number in range(30))]
    listed.context.set_offline(False)
    expect(status).to_have_text("31 new messages", timeout=30_000)
    assert shown_ids(listed)[:31] == ids[::-1]


def test_a_tab_that_nobody_sees_asks_for_nothing(listed: Page, inbox: Server) -> None:
    """It gets what it has missed when it is seen again, however much that is."""
    listed.evaluate(SLEEP, True)
    end_the_wait(inbox)
    expect(listed.get_by_role("status")).to_have_text("1 new message")
    asked: list[str] = []
    listed.on("request", lambda request: asked.append(request.url))
    ids = [send(inbox, plain_mail(f"asleep {number}", b"a")) for number in range(205)]
    assert seen(listed, asked, SOON_SECONDS) == []
    listed.evaluate(SLEEP, False)
    expect(row(listed, ids[-1])).to_have_count(1)
    assert shown_ids(listed)[:205] == ids[::-1]


def test_retry_after_is_honored(listed: Page, inbox: Server) -> None:
    """A server that is busy is asked again when it says, and not before."""
    limited = answer_with(listed, 503, {"Retry-After": "3"})
    end_the_wait(inbox)
    wait_for(lambda: len(seen(listed, limited)) == 2)
    assert limited[1] - limited[0] >= 3


def test_failures_are_asked_about_less_and_less_often(listed: Page, inbox: Server) -> None:
    """Also a proxy that answers 200 with a page of its own; then the list goes on."""
    failed = answer_with(listed, 200, {}, "<html>Under construction</html>")
    message_id = end_the_wait(inbox)
    wait_for(lambda: len(seen(listed, failed)) == 3)
    gaps = [later - earlier for earlier, later in pairwise(failed)]
    assert gaps[0] >= 1
    assert gaps[1] >= 2
    listed.unroute(NEWER)
    expect(row(listed, message_id)).to_have_count(1, timeout=30_000)


def answer_with(page: Page, status: int, headers: dict[str, str], body: str = "") -> list[float]:
    """Answer the script of `page` instead of the server; return when it asked, as it does."""
    asked: list[float] = []

    def answer(route: Route) -> None:
        asked.append(time.monotonic())
        route.fulfill(status=status, headers=headers, body=body)

    page.route(NEWER, answer)
    return asked


def seen(page: Page, noted: list[Noted], seconds: float = 0.02) -> list[Noted]:
    """Return `noted` after a while; events of the browser are noted only while a test waits."""
    page.wait_for_timeout(seconds * 1000)
    return noted


def shown_ids(page: Page) -> list[str]:
    """Return the ids of the messages in the list."""
    found = page.eval_on_selector_all("ol.messages a", "links => links.map(each => each.id)")
    return [str(each) for each in found]


def test_a_session_that_ended_says_so(listed: Page, inbox: Server) -> None:
    """With a link to the login, which leads back to the same list; nothing asks any more."""
    listed.context.clear_cookies()
    end_the_wait(inbox)
    status = listed.get_by_role("status")
    expect(status).to_contain_text("Your session has ended.")
    status.get_by_role("link").click()
    listed.locator("input[type=password]").fill(inbox.api_token)
    listed.keyboard.press("Enter")
    expect(listed).to_have_url(f"{inbox.url}/inbox")


def test_what_cannot_go_on_offers_a_reload(listed: Page, inbox: Server) -> None:
    """As after a restore, when the list's cursor is another store's; the plain link is back."""
    refused = answer_with(listed, 400, {})
    end_the_wait(inbox)
    reload = listed.get_by_role("status").get_by_role("link", name="Reload the page")
    expect(reload).to_be_visible()
    expect(listed.get_by_role("link", name="Check for newer messages")).to_be_visible()
    assert len(refused) == 1
    listed.unroute(NEWER)
    reload.click()
    expect(reload).to_have_count(0)


def test_the_list_does_not_grow_without_end(listed: Page, inbox: Server) -> None:
    """Its oldest rows make room, except one with the focus; the way to older ones stays right."""
    for number in range(60):
        send(inbox, plain_mail(f"before {number}", b"a"))
    with listed.expect_request(NEWER):
        listed.goto("/inbox")
    focused = listed.locator("ol.messages a").last
    focused.focus()
    url = focused.get_attribute("href")
    for number in range(520):
        send(inbox, plain_mail(f"many {number}", b"a"))
    expect(listed.locator("ol.messages .row").first).to_contain_text("many 519")
    expect(listed.locator("ol.messages .row")).to_have_count(501)
    assert listed.evaluate("document.activeElement.getAttribute('href')") == url
    listed.get_by_role("link", name="older").click()
    expect(listed.locator("ol.messages .row")).to_have_count(50)
