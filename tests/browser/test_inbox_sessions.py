"""Who is logged in uses the inbox; no other page, no other name and no old session does."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from html import escape
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from support.chromium import OTHER_HOST
from support.configured import settings_writer
from support.endpoint_server import OK, EndpointServer, answering
from support.html_mail import html_mail
from support.inbox_visit import Form, forms, log_in, send, walk
from support.plain_mail import plain_mail
from support.server import NewServer, Server, wait_for
from support.tracker import Tracker

COOKIE = "gomail_session"
OLD, NEW = "an-old-api-token-0123456789abcdef", "a-new-api-token-0123456789abcdef"
ACTIONS = {"pause", "resume", "retry", "delete", "logout"}
FETCH = """async ([url, method, mode]) => {
    try {
        const answer = await fetch(url, {method, mode, credentials: "include"});
        return await answer.text();
    } catch (error) {
        return String(error);
    }
}"""
NewContext = Callable[[], BrowserContext]
SITES = {"another port of the same site": "127.0.0.1", "another site": OTHER_HOST}


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server whose endpoint takes every message."""
    with (
        EndpointServer(answering(OK)) as endpoint,
        Server(tmp_path_factory.mktemp("server"), webhook_url=endpoint.url()) as server,
    ):
        yield server.start()


@pytest.fixture
def new_context(chromium: Browser, inbox: Server) -> Iterator[NewContext]:
    """Return a function that starts another browser, without cookies."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(chromium.new_context(base_url=inbox.url)))


def state_of(server: Server) -> list[Any]:
    """Return what the forms of the inbox could have changed."""
    headers = {"Authorization": f"Bearer {server.api_token}"}
    asked = ("/messages", "/deliveries", "/endpoints")
    return [server.request("GET", path, headers=headers).json() for path in asked]


def session_cookie(page: Page) -> Any:
    found = [each for each in page.context.cookies() if each.get("name") == COOKIE]
    assert len(found) == 1
    return found[0]


def sending(server: Server, form: Form) -> str:
    """Return a page that sends the same form as soon as it is opened."""
    fields = "".join(
        f"<input name='{name}' value='{escape(value)}'>" for name, value in form.fields
    )
    script = "<script>document.forms[0].submit()</script>"
    return f"<form method=post action='{server.url}{form.path}'>{fields}</form>{script}"


def has_new_workers(server: Server, old: set[int]) -> bool:
    settled = server.settled_workers()
    return len(settled) == len(old) and settled.isdisjoint(old)


def is_logged_in(page: Page) -> bool:
    page.goto("/inbox")
    return page.url.endswith("/inbox")


def all_forms(page: Page, *paths: str) -> set[Form]:
    found: set[Form] = set()
    for _ in walk(page, *paths):
        found |= forms(page)
    return found


def test_scripts_cannot_read_the_session(page: Page) -> None:
    """The cookie is for the server alone, for the inbox alone, and is sent by its own pages."""
    cookie = session_cookie(page)
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/inbox")
    assert page.evaluate("document.cookie") == ""


def test_a_copied_session_ends_with_a_logout(page: Page, new_context: NewContext) -> None:
    """Whoever has got hold of the cookie is logged out, too."""
    thief = new_context()
    thief.add_cookies([session_cookie(page)])
    copy = thief.new_page()
    assert is_logged_in(copy)
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/inbox/login")
    assert not is_logged_in(page)
    assert not is_logged_in(copy)


def test_a_session_cannot_be_made_up(page: Page, context: BrowserContext) -> None:
    """A cookie with another time, another name or another signature is none."""
    cookie = session_cookie(page)
    value = cookie["value"]
    expires, name, signature = value.split(".")
    longer = str(int(expires) + 1)
    for forged in (
        f"{longer}.{name}.{signature}",
        f"{expires}.{name[::-1]}.{signature}",
        f"{expires}.{name}.{signature[::-1]}",
        f"{expires}.{name}.",
        "",
    ):
        context.add_cookies([cookie | {"value": forged}])
        assert not is_logged_in(page)
    context.add_cookies([cookie])
    assert is_logged_in(page)


def test_other_pages_cannot_send_its_forms(page: Page, inbox: Server, tracker: Tracker) -> None:
    """Each form that changes something, sent by a page of another origin, changes nothing."""
    message_id = send(inbox, plain_mail("a", b"b"))
    wait_for(lambda: "'delivered'" in str(state_of(inbox)[1]))
    to_send = all_forms(page, "/inbox", f"/inbox/{message_id}", "/inbox/endpoints")
    paused = inbox.request(
        "POST",
        "/endpoints/webhook/pause",
        headers={"Authorization": f"Bearer {inbox.api_token}"},
    )
    assert paused.status == 200, paused.body
    to_send |= all_forms(page, "/inbox/endpoints")  # one to resume it among them
    assert {each.path.rpartition("/")[2] for each in to_send} >= ACTIONS
    before = state_of(inbox)
    for number, form in enumerate(sorted(to_send, key=str)):
        for host in SITES.values():
            tracker.answers[f"{number}"] = sending(inbox, form)
            with page.expect_response(inbox.url + form.path) as sent:
                page.goto(tracker.url(f"{number}", host))
            assert sent.value.request.method == "POST"
            assert sent.value.status == 403
    assert state_of(inbox) == before
    assert is_logged_in(page)


def test_its_own_pages_can(page: Page, inbox: Server) -> None:
    """The same forms do what they say, so the test above sees it if another page could."""
    message_id = send(inbox, plain_mail("c", b"d"))
    page.goto(f"/inbox/{message_id}/delete")
    page.get_by_role("main").get_by_role("button", name="Delete").click()
    page.wait_for_url("**/inbox?done=deleted")
    assert message_id not in str(state_of(inbox))


def test_scripts_of_other_pages_cannot_send_or_read(
    page: Page, inbox: Server, tracker: Tracker
) -> None:
    """With the cookies of a person who is logged in, they delete nothing and get nothing."""
    message_id = send(inbox, plain_mail("secret subject", b"e"))
    before = state_of(inbox)
    for host in SITES.values():
        tracker.answers["page"] = "<title>attack</title>"
        page.goto(tracker.url("page", host))
        for path, method in (
            ("/inbox", "GET"),
            (f"/inbox/{message_id}", "GET"),
            (f"/inbox/{message_id}/raw", "GET"),
            (f"/inbox/{message_id}/delete", "POST"),
            ("/inbox/logout", "POST"),
            (f"/messages/{message_id}", "DELETE"),
            ("/messages", "GET"),
        ):
            for mode in ("cors", "no-cors"):
                got = page.evaluate(FETCH, [inbox.url + path, method, mode])
                assert "secret" not in got
    assert state_of(inbox) == before
    assert is_logged_in(page)


@pytest.mark.parametrize("path", ["/inbox", "/inbox/{}", "/inbox/{}/html", "/inbox/{}/delete"])
def test_other_pages_cannot_frame_it(
    page: Page, inbox: Server, tracker: Tracker, path: str
) -> None:
    """So that nobody clicks on a button of the inbox without seeing it."""
    url = inbox.url + path.format(send(inbox, html_mail("<p>f")))
    for host in SITES.values():
        tracker.answers["frame"] = f"<iframe src='{url}'></iframe>"
        with page.expect_response(url):
            page.goto(tracker.url("frame", host))
        assert not page.frames[1].url.startswith(inbox.url)


@pytest.mark.parametrize("path", ["/inbox", "/inbox/login", "/inbox/{}", "/inbox/{}/raw"])
def test_another_name_for_the_server_opens_nothing(
    page: Page, context: BrowserContext, inbox: Server, path: str
) -> None:
    """A name that somebody points at this machine (DNS rebinding) is refused, session or not."""
    message_id = send(inbox, plain_mail("secret subject", b"g"))
    context.add_cookies([session_cookie(page) | {"domain": OTHER_HOST}])
    answer = page.goto(f"http://{OTHER_HOST}:{inbox.port}{path.format(message_id)}")
    assert answer is not None
    assert answer.status == 403
    assert "secret" not in page.content()
    assert OTHER_HOST in page.content()  # so that its owner knows what to allow


def test_a_name_can_be_allowed(chromium: Browser, new_server: NewServer) -> None:
    """With allowed_hosts, people log in and out under another name."""
    server = new_server(allowed_hosts=OTHER_HOST).start()
    with closing(chromium.new_context(base_url=f"http://{OTHER_HOST}:{server.port}")) as made:
        page = made.new_page()
        log_in(page, server.api_token)
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/inbox/login")


def test_a_session_ends_when_its_token_is_taken_out(
    chromium: Browser, new_server: NewServer, tmp_path: Path
) -> None:
    """After a reload without the token, whoever has logged in with it is out; others aren't."""
    file = tmp_path / "gomail.yaml"
    write = settings_writer(file, "a-bearer-token-of-this-test-0123456789")
    write(api_token=[OLD, NEW])
    server = new_server(config=file).start()
    with (
        closing(chromium.new_context(base_url=server.url)) as one,
        closing(chromium.new_context(base_url=server.url)) as other,
    ):
        old, new = one.new_page(), other.new_page()
        log_in(old, OLD)
        log_in(new, NEW)
        write(api_token=[NEW])
        workers = set(server.worker_pids())
        os.kill(server.pid, signal.SIGHUP)
        wait_for(lambda: has_new_workers(server, workers), 30)
        assert not is_logged_in(old)
        assert is_logged_in(new)
