"""The inbox page needs no JavaScript."""

import re
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Page, expect
from support.endpoint_server import OK, EndpointServer, answering
from support.inbox_visit import log_in, send
from support.plain_mail import plain_mail
from support.server import Server, wait_for

GONE = OK.replace(b"200 OK", b"410 Gone")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[EndpointServer]:
    """Return an endpoint that works, until a test replaces what it does."""
    with EndpointServer(answering(OK)) as made:
        yield made


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory, endpoint: EndpointServer) -> Iterator[Server]:
    """Return a server that delivers to it."""
    with Server(tmp_path_factory.mktemp("server"), webhook_url=endpoint.url()) as server:
        yield server.start()


@pytest.fixture
def page(chromium: Browser, inbox: Server) -> Iterator[Page]:
    """Return a page of somebody who is logged in, in a browser that runs no scripts."""
    with closing(chromium.new_context(base_url=inbox.url, java_script_enabled=False)) as made:
        page = made.new_page()
        log_in(page, inbox.api_token)
        yield page


def test_messages_are_listed_page_by_page(page: Page, inbox: Server) -> None:
    """A link leads to older messages, one back to newer ones, and one to those that come later."""
    ids = [send(inbox, plain_mail(f"page {number}", b"a")) for number in range(70)]
    page.goto("/inbox?subject=page")
    assert ids[-1] in page.content()
    assert ids[0] not in page.content()
    page.get_by_role("link", name="Older").click()
    expect(page.locator(f"a[href*='{ids[0]}']")).to_have_count(1)
    page.get_by_role("link", name="Newest").click()
    expect(page.locator(f"a[href*='{ids[-1]}']")).to_have_count(1)
    later = send(inbox, plain_mail("page later", b"a"))
    page.get_by_role("link", name=re.compile("newer", re.IGNORECASE)).click()
    expect(page.locator(f"a[href*='{later}']")).to_have_count(1)


def test_messages_are_searched_read_and_deleted(page: Page, inbox: Server) -> None:
    """Every tab shows its part of the message; deletion asks first."""
    message_id = send(inbox, plain_mail("a needle", b"in a haystack"))
    page.get_by_role("searchbox").first.fill("a needle")
    page.keyboard.press("Enter")
    page.locator(f"a[href='/inbox/{message_id}']").click()
    expect(page.get_by_role("main")).to_contain_text("in a haystack")
    for tab, text in (("Headers", "a@example.com"), ("Source", "Subject: a needle")):
        page.get_by_role("link", name=tab).click()
        expect(page.get_by_role("main")).to_contain_text(text)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").first.click()
    assert download.value.suggested_filename == f"{message_id}.eml"
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("main").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status").first).to_contain_text("deleted")


def test_a_failed_delivery_is_understood_and_mended(
    page: Page, inbox: Server, endpoint: EndpointServer
) -> None:
    """The page says what the endpoint answered; it is resumed, and the delivery arrives."""
    endpoint.treat = answering(GONE)
    message_id = send(inbox, plain_mail("to be delivered", b"b"))
    deliveries = f"/inbox/{message_id}?tab=deliveries"
    page.goto("/inbox/endpoints")
    wait_for(lambda: page.reload() and page.get_by_role("button", name="Resume").count())
    page.goto(deliveries)
    expect(page.get_by_role("main")).to_contain_text("410")
    endpoint.treat = answering(OK)
    page.goto("/inbox/endpoints")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause")).to_have_count(1)
    page.goto(deliveries)
    page.get_by_role("button", name="Retry").click()
    page.wait_for_url("**done=retried")
    wait_for(lambda: page.reload() and "delivered" in page.get_by_role("main").inner_text())


def test_logging_out_ends_the_session(page: Page) -> None:
    """The list isn't shown any more."""
    page.get_by_role("button", name="Log out").click()
    page.goto("/inbox")
    expect(page).to_have_url(re.compile("/inbox/login"))
