"""What a person does on the inbox page, and the mail that is there."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from playwright.sync_api import Page
from support.server import Server

MOST_PAGES = 150
_FILES = re.compile(r"/inbox/([^/]+/(raw|html|parts/.*)|static/.*)")

_FORMS = """forms => forms.map(form => ({
    path: new URL(form.action).pathname,
    method: form.method,
    fields: Array.from(new FormData(form)).map(([name, value]) => [name, String(value)]),
}))"""


@dataclass(frozen=True)
class Form:
    """A form on a page that changes something: where it is sent, and its fields."""

    path: str
    fields: tuple[tuple[str, str], ...]


def log_in(page: Page, token: str) -> None:
    """Log in with `token`, as a person does."""
    page.goto("/inbox/login")
    page.locator("input[type=password]").fill(token)
    page.keyboard.press("Enter")
    page.wait_for_url("**/inbox")


def send(server: Server, raw: bytes, **headers: str) -> str:
    """Deliver a message and return its id."""
    answer = server.deliver(raw, **headers)
    assert answer.status == 200, answer.body
    message_id: str = answer.json()["message_id"]
    return message_id


def walk(page: Page, *paths: str) -> Iterator[str]:
    """Open each of `paths` and every page of the inbox that is linked from them, one by one."""
    to_see, seen = list(paths), set(paths)
    while to_see:
        path = to_see.pop(0)
        page.goto(path)
        yield path
        page.goto(path)  # whatever was done meanwhile
        for linked in _linked(page):
            if linked not in seen:
                seen.add(linked)
                to_see.append(linked)
        assert len(seen) < MOST_PAGES, seen


def forms(page: Page) -> set[Form]:
    """Return the forms of a page that change something."""
    found = page.eval_on_selector_all("form", _FORMS)
    return {
        Form(each["path"], tuple((name, value) for name, value in each["fields"]))
        for each in found
        if each["method"] == "post"
    }


def _linked(page: Page) -> list[str]:
    origin = urlsplit(page.url)
    links = page.eval_on_selector_all("a[href]", "links => links.map(each => each.href)")
    parts = [urlsplit(each) for each in links]
    return [
        each._replace(scheme="", netloc="", fragment="").geturl()
        for each in parts
        if each[:2] == origin[:2] and not _FILES.fullmatch(each.path)
    ]
