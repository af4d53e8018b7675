"""Chromium, an inbox with somebody logged in, and a server that mail wants to reach."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from support.chromium import launch
from support.inbox_visit import log_in
from support.server import Server
from support.tracker import Tracker


# Not for the session: while Playwright runs, no other test in this thread can use asyncio.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Return a Chromium for the tests of a module, each with contexts of its own."""
    with sync_playwright() as playwright, closing(launch(playwright)) as browser:
        yield browser


@pytest.fixture(scope="module")
def inbox(shared_server: Server) -> Server:
    """Return the server whose inbox is opened; some modules have another."""
    return shared_server


@pytest.fixture
def context(chromium: Browser, inbox: Server) -> Iterator[BrowserContext]:
    """Return a new browser, without cookies, for the inbox."""
    with closing(chromium.new_context(base_url=inbox.url)) as made:
        made.set_default_timeout(10_000)
        yield made


@pytest.fixture
def page(context: BrowserContext, inbox: Server) -> Page:
    """Return a page of somebody who is logged in."""
    page = context.new_page()
    log_in(page, inbox.api_token)
    return page


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    """Return a server that notes what it is asked for."""
    with Tracker() as made:
        yield made
