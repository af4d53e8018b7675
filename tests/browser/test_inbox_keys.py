"""The keys of the inbox page: j, k, Enter, Esc, /, ?."""

import re

import pytest
from playwright.sync_api import Page, expect
from support.inbox_visit import log_in, send
from support.plain_mail import plain_mail
from support.server import Server

FOCUSED = "document.activeElement.id"


@pytest.fixture(scope="module")
def ids(inbox: Server) -> list[str]:
    """Return the ids of three messages, newest first."""
    return [send(inbox, plain_mail(f"keys {number}", b"hello")) for number in range(3)][::-1]


@pytest.fixture
def listed(page: Page, ids: list[str]) -> Page:
    """Return the list of a search that finds them."""
    page.goto("/inbox?subject=keys")
    return page


def focused(page: Page) -> str:
    """Return the id of what has the focus; a message in the list has the message's."""
    return str(page.evaluate(FOCUSED))


def test_j_and_k_move_the_focus_and_open_nothing(listed: Page, ids: list[str]) -> None:
    """From message to message, as far as they go."""
    moved = []
    for key in "jjjjkkk":
        listed.keyboard.press(key)
        moved.append(ids.index(focused(listed)))
    assert moved == [0, 1, 2, 2, 1, 0, 0]
    assert listed.url.endswith("/inbox?subject=keys")


def test_enter_opens_and_esc_goes_back(listed: Page, ids: list[str]) -> None:
    """To the same search and the same message, also from another tab of the message."""
    listed.keyboard.press("j")
    listed.keyboard.press("j")
    listed.keyboard.press("Enter")
    listed.wait_for_url(f"**/inbox/{ids[1]}")
    listed.get_by_role("link", name="Headers").click()
    listed.wait_for_url("**tab=headers")
    listed.keyboard.press("Escape")
    listed.wait_for_url("**/inbox?subject=keys*")
    assert focused(listed) == ids[1]
    listed.keyboard.press("j")
    assert focused(listed) == ids[2]


def test_the_browsers_back_leads_to_the_same_message(listed: Page, ids: list[str]) -> None:
    """As Esc does."""
    listed.get_by_text("keys 0").click()
    listed.wait_for_url(f"**/inbox/{ids[2]}")
    listed.go_back()
    expect(listed.get_by_role("heading", name="Messages")).to_be_visible()
    assert focused(listed) == ids[2]


def test_esc_deletes_nothing(page: Page, ids: list[str]) -> None:
    """From the question whether to delete a message, it goes back to the message."""
    page.goto(f"/inbox/{ids[0]}/delete")
    page.keyboard.press("Escape")
    page.wait_for_url(f"**/inbox/{ids[0]}")


def test_a_slash_searches(listed: Page, ids: list[str]) -> None:
    """In the list and from a message; the slash itself isn't typed."""
    listed.keyboard.press("/")
    assert focused(listed) == "search"
    expect(listed.locator("#search")).to_have_value("keys")
    listed.goto(f"/inbox/{ids[0]}")
    listed.keyboard.press("/")
    listed.wait_for_url("**/inbox#search")
    assert focused(listed) == "search"


def test_a_question_mark_shows_the_keys(listed: Page) -> None:
    """So does a button; Esc closes them, and the focus is where it was."""
    dialog = listed.get_by_role("dialog", name="Keys")
    listed.keyboard.press("j")
    before = focused(listed)
    listed.keyboard.press("?")
    expect(dialog).to_be_visible()
    listed.keyboard.press("j")
    listed.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert focused(listed) == before
    listed.get_by_role("button", name="Keys").click()
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()


def test_typing_is_typing(listed: Page) -> None:
    """In a field, each of the keys is only a character."""
    field = listed.locator("#search")
    field.fill("")
    field.press_sequentially("jk/?")
    expect(field).to_have_value("jk/?")
    assert focused(listed) == "search"
    expect(listed.get_by_role("dialog")).to_be_hidden()


@pytest.mark.parametrize("modifier", ["Control", "Alt", "Meta", "Shift"])
def test_keys_with_a_modifier_are_the_browsers(listed: Page, modifier: str) -> None:
    """The focus stays."""
    for key in ("j", "k"):
        listed.keyboard.press(f"{modifier}+{key}")
        assert focused(listed) == ""


def test_keys_can_be_turned_off(listed: Page, inbox: Server, ids: list[str]) -> None:
    """For those who speak instead of typing (WCAG 2.1.4), for all pages, and on again."""
    choice = listed.get_by_label(re.compile("Use these keys"))
    listed.keyboard.press("?")
    choice.uncheck()
    listed.keyboard.press("Escape")
    listed.reload()
    listed.keyboard.press("?")
    listed.keyboard.press("j")
    assert focused(listed) == ""
    expect(listed.get_by_role("dialog")).to_be_hidden()
    listed.get_by_role("button", name="Log out").click()
    log_in(listed, inbox.api_token)
    listed.get_by_role("button", name="Keys").click()
    expect(choice).not_to_be_checked()
    choice.check()
    listed.keyboard.press("Escape")
    listed.keyboard.press("j")
    assert focused(listed) == ids[0]
