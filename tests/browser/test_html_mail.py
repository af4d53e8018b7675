"""HTML mail can be read without telling anybody, and without running what is in it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress

import pytest
from playwright.sync_api import BrowserContext, Frame, Page, sync_playwright
from support.chromium import OTHER_HOST, launch_as_installed
from support.html_mail import PNG, html_mail
from support.inbox_visit import log_in, send
from support.remote_vectors import CLICKED, CONNECTING, LOADING, RUNNING, with_url
from support.rounds import rounds
from support.server import Server, wait_for
from support.tracker import Tracker
from support.without_policy import WithoutPolicy

VECTORS = LOADING | RUNNING | CONNECTING
# But for what this Chromium doesn't follow anywhere: icons have no use without a window.
SEEN = (LOADING | RUNNING).keys() - {"link-icon", "data-svg-script"}
# What Chromium follows only as long as no other page is opened.
IN_FRONT = {"speculation-rules"}
WAIT_MILLISECONDS = 700  # in which something late might still be asked for, or run


def batches(names: Iterable[str]) -> Sequence[Sequence[str]]:
    """Return `names` in pieces that one test can show; one of them if the run has to be short."""
    names = sorted(names)
    found = [names[start : start + 16] for start in range(0, len(names), 16)]
    return rounds(found, found[-2:-1])


@pytest.fixture(scope="module")
def installed(inbox: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """Return a browser with a profile, in which somebody is logged in."""
    profile = tmp_path_factory.mktemp("profile")
    with (
        sync_playwright() as playwright,
        closing(launch_as_installed(playwright, profile, inbox.url)) as made,
    ):
        made.set_default_timeout(10_000)
        log_in(made.new_page(), inbox.api_token)
        yield made


@pytest.fixture
def page(installed: BrowserContext) -> Iterator[Page]:
    """Return a new page in it."""
    others = set(installed.pages)
    yield installed.new_page()
    for each in set(installed.pages) - others:
        each.close()


@pytest.fixture
def unprotected(inbox: Server) -> Iterator[WithoutPolicy]:
    """Return what shows the same messages without the policy."""
    with WithoutPolicy(inbox) as made:
        yield made


def message_with(server: Server, tracker: Tracker, name: str, html: str) -> str:
    """Deliver a message whose HTML asks for `name`; return its id."""
    return send(server, html_mail(with_url(html, tracker.url(name)), subject=name))


def open_framed(page: Page, message_id: str) -> Frame:
    """Open the tab with the HTML of a message; return its frame."""
    page.goto(f"/inbox/{message_id}?tab=html")
    frame = page.locator("iframe").element_handle().content_frame()
    assert frame is not None
    frame.wait_for_load_state()
    return frame


@pytest.fixture
def ran(page: Page) -> list[str]:
    """Return what is written to the console, on all pages from now on."""
    found: list[str] = []
    page.context.on("console", lambda message: found.append(message.text))
    page.context.on("weberror", lambda error: found.append(str(error.error)))
    return found


def scripts(ran: list[str], tracker: Tracker) -> list[str]:
    """Return what has been written by scripts of messages, not by the browser about its policy."""
    return [each for each in ran if each.startswith(tracker.url(""))]


@pytest.mark.parametrize("names", batches(SEEN))
def test_each_way_is_one(names: Sequence[str], page: Page, tracker: Tracker) -> None:
    """In an ordinary page, Chromium takes each of them; so the tests below can see it."""
    for name in names:
        tracker.answers[f"page-{name}"] = with_url((LOADING | RUNNING)[name], tracker.url(name))
        opened = page.context.new_page()
        opened.goto(tracker.url(f"page-{name}"), wait_until="commit")
        if name in IN_FRONT:
            wait_for(lambda: IN_FRONT & tracker.paths())
    with suppress(AssertionError):
        wait_for(lambda: set(names) <= tracker.paths())
    assert set(names) - tracker.paths() == set()


@pytest.mark.parametrize("name", [*CONNECTING, "iframe", "frameset"])
def test_chromium_connects_before_it_asks_a_policy(name: str, page: Page, tracker: Tracker) -> None:
    """What no policy prevents is seen, too: a connection without a request."""
    policy = "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'\">"
    with Tracker() as other:
        html = with_url((CONNECTING | LOADING)[name], other.url(name))
        tracker.answers["page"] = policy + html
        page.goto(tracker.url("page"))
        wait_for(lambda: other.connections)
        assert other.paths() == set()


@pytest.mark.parametrize("names", batches(VECTORS))
def test_no_way_leads_out(
    names: Sequence[str], page: Page, inbox: Server, tracker: Tracker, ran: list[str]
) -> None:
    """Framed and opened directly: no request, no connection, no script, and the page stays."""
    opened = {}
    for name in names:
        message_id = message_with(inbox, tracker, name, VECTORS[name])
        for path in (f"/inbox/{message_id}?tab=html", f"/inbox/{message_id}/html"):
            opened[path] = page.context.new_page()
            opened[path].goto(path)
            if name in IN_FRONT:
                page.wait_for_timeout(WAIT_MILLISECONDS)
    page.wait_for_timeout(WAIT_MILLISECONDS)
    assert (tracker.paths(), tracker.connections, scripts(ran, tracker)) == (set(), 0, [])
    for path, each in opened.items():
        assert each.url == inbox.url + path
        if "?tab" in path:
            assert each.frames[1].url == inbox.url + path.replace("?tab=", "/")
        each.close()


def all_in_one(tracker: Tracker, ways: Mapping[str, str]) -> str:
    return "\n".join(with_url(html, tracker.url(name)) for name, html in ways.items())


def test_no_way_leads_out_of_a_message_with_all_of_them(
    page: Page, inbox: Server, tracker: Tracker, ran: list[str]
) -> None:
    """One message with every way, framed and opened directly: nothing is asked for."""
    message_id = send(inbox, html_mail(all_in_one(tracker, VECTORS | CLICKED)))
    open_framed(page, message_id)
    page.wait_for_timeout(WAIT_MILLISECONDS)
    page.goto(f"/inbox/{message_id}/html")
    page.wait_for_timeout(WAIT_MILLISECONDS)
    assert page.url == f"{inbox.url}/inbox/{message_id}/html"
    assert (tracker.asked, tracker.connections, scripts(ran, tracker)) == ([], 0, [])


@pytest.mark.parametrize("path", ["?tab=html", "/html"])
def test_without_the_policy_the_same_message_asks(
    path: str, page: Page, inbox: Server, tracker: Tracker, unprotected: WithoutPolicy
) -> None:
    """It is the policy that keeps a message from telling that it is read, not the frame."""
    ways = {name: html for name, html in LOADING.items() if not name.startswith("meta")}
    message_id = send(inbox, html_mail(all_in_one(tracker, ways)))
    page.goto(f"{unprotected.url}/inbox/{message_id}{path}", wait_until="commit")
    wait_for(lambda: len(tracker.paths()) > 20)


def test_without_the_policy_scripts_run(
    page: Page, inbox: Server, tracker: Tracker, unprotected: WithoutPolicy, ran: list[str]
) -> None:
    """Opened directly, where no frame stops them."""
    message_id = message_with(inbox, tracker, "script", RUNNING["script"])
    page.goto(f"{unprotected.url}/inbox/{message_id}/html")
    wait_for(lambda: scripts(ran, tracker))


@pytest.mark.parametrize("name", sorted(CLICKED))
def test_clicks_run_and_send_nothing(
    name: str, page: Page, inbox: Server, tracker: Tracker, ran: list[str]
) -> None:
    """Forms aren't sent, and links with scripts run none, framed or opened directly."""
    message_id = message_with(inbox, tracker, name, CLICKED[name])
    open_framed(page, message_id).click(".target")
    page.wait_for_timeout(WAIT_MILLISECONDS)
    page.goto(f"/inbox/{message_id}/html")
    page.click(".target")
    page.wait_for_timeout(WAIT_MILLISECONDS)
    assert page.url == f"{inbox.url}/inbox/{message_id}/html"
    assert (tracker.asked, tracker.connections, scripts(ran, tracker)) == ([], 0, [])


@pytest.mark.parametrize("name", sorted(CLICKED.keys() - {"data"}))  # which browsers prevent
def test_clicks_do_something_elsewhere(name: str, page: Page, tracker: Tracker) -> None:
    """In an ordinary page, the tracker hears of each of these clicks."""
    tracker.answers["page"] = with_url(CLICKED[name], tracker.url(name))
    page.goto(tracker.url("page"))
    page.click(".target")
    wait_for(lambda: name in tracker.paths())


LINKS = {
    "plain": "<a href='URL'>a</a>",
    "own-target": "<a target=_top href='URL'>a</a>",
    "parent": "<a target=_parent href='URL'>a</a>",
    "itself": "<a target=_self href='URL'>a</a>",
    "other-host": "<a href='URL'>a</a>",
    "referrer": "<meta name=referrer content=unsafe-url>"
    "<a referrerpolicy=unsafe-url href='URL'>a</a>",
    "ping": "<a ping='URL?ping' href='URL'>a</a>",
    "base-target": "<base target=_top><a href='URL'>a</a>",
    "svg": "<svg><a target=_top href='URL'><text y=20>a</text></a></svg>",
    "area": "<p><img src='cid:a' usemap='#m' width=90 height=90 alt=a><map name=m>"
    "<area shape=rect coords='0,0,90,90' target=_top href='URL' alt=b></map></p>",
}


@pytest.mark.parametrize("framed", [True, False])
@pytest.mark.parametrize("name", sorted(LINKS))
def test_links_open_in_a_new_tab(
    name: str, framed: bool, page: Page, inbox: Server, tracker: Tracker
) -> None:
    """It is an ordinary page, which doesn't learn where it was linked from."""
    host = OTHER_HOST if name == "other-host" else "127.0.0.1"
    tracker.answers[name] = "<script>document.title = document.referrer + opener</script>"
    html = LINKS[name].replace("URL", tracker.url(name, host))
    message_id = send(inbox, html_mail(html, {"a": PNG}))
    if framed:
        shown: Page | Frame = open_framed(page, message_id)
    else:
        page.goto(f"/inbox/{message_id}/html")
        shown = page
    before = page.url
    with page.context.expect_page() as opened:
        # Not by force: a click just after a frame was loaded may get to the page around it.
        if name == "area":
            shown.click("p", position={"x": 45, "y": 45})
        else:
            shown.click("a")
    opened.value.wait_for_url(f"**/{name}")
    assert opened.value.title() == "null"
    assert page.url == before
    asked = [each for each in tracker.asked if each.path != "/favicon.ico"]
    assert [each.path for each in asked] == [f"/{name}"]
    assert "referer" not in asked[0].headers


def test_a_linked_page_cannot_reach_back(page: Page, inbox: Server, tracker: Tracker) -> None:
    """A message can't let the page that it links to put another page in the place of the inbox."""
    tracker.answers["back"] = "<script>document.title = String(opener)</script>"
    link = f"<a rel=opener target=back href='{tracker.url('back')}'>a</a>"
    message_id = send(inbox, html_mail(link))
    frame = open_framed(page, message_id)
    with page.context.expect_page() as opened:
        frame.click("a")
    opened.value.wait_for_url("**/back")
    assert opened.value.title() == "null"


def test_links_within_the_message_work(page: Page, inbox: Server) -> None:
    """They lead to another place in the frame."""
    message_id = send(
        inbox, html_mail("<a href='#c'>a</a><p style='height:9000px'>b<h1 id=c>c</h1>")
    )
    frame = open_framed(page, message_id)
    pages = page.context.pages
    frame.click("a")
    frame.wait_for_url("**#c")
    assert page.context.pages == pages


def test_pictures_of_the_message_are_shown(page: Page, inbox: Server) -> None:
    """Framed, where no cookie could load them."""
    message_id = send(inbox, html_mail("<img src='cid:a@b'>", {"a@b": PNG}))
    frame = open_framed(page, message_id)
    assert natural_width(frame) == 1


def test_remote_pictures_are_loaded_for_one_view(
    page: Page, inbox: Server, tracker: Tracker, ran: list[str]
) -> None:
    """Only when asked for, only pictures, without a Referer or cookies, and not the next time."""
    message_id = send(inbox, html_mail(all_in_one(tracker, VECTORS)))
    page.goto(f"/inbox/{message_id}?tab=html")
    page.get_by_role("link", name=re.compile("remote pictures", re.IGNORECASE)).click()
    wait_for(lambda: {"img", "img-srcset", "style-attribute"} <= tracker.paths())
    page.wait_for_timeout(WAIT_MILLISECONDS)
    assert tracker.paths() <= PICTURES
    for each in tracker.asked:
        assert "referer" not in each.headers
        assert "cookie" not in each.headers
    assert scripts(ran, tracker) == []
    tracker.forget()
    open_framed(page, message_id)
    page.wait_for_timeout(WAIT_MILLISECONDS)
    assert (tracker.asked, tracker.connections) == ([], 0)


PICTURES = {
    *("img", "img-srcset", "picture", "image", "input-image", "body-background", "td-background"),
    *("style-attribute", "style-list", "style-cursor", "style-border", "style-image-set"),
    *("style-escaped", "style-variable", "style-mask", "style-shape", "style-element"),
    *("style-content", "input-value", "svg-image"),
    *("svg-image-xlink", "svg-filter", "svg-foreign", "video-poster"),
}


def natural_width(frame: Frame) -> int:
    width: int = frame.locator("img").evaluate("each => each.naturalWidth")
    return width
