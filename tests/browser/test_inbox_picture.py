"""docs/inbox.png, the picture of the inbox page in the README, shows the page as it is."""

import os
import struct
import zlib
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from support.office_mail import store_office_mail
from support.server import CHECKOUT, Server

PICTURE = CHECKOUT / "docs" / "inbox.png"
MOST_BYTES = 150_000
UPDATE = "UPDATE_PICTURE"
# A chunk for text in UTF-8 (PNG, section 11.3.3.4), neither compressed nor translated.
TEXT = b"iTXtDescription\0\0\0\0\0"
END = b"\0\0\0\0IEND"


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server with mail that is the same each time."""
    directory = tmp_path_factory.mktemp("server")
    store_office_mail(directory / "data")
    with Server(directory, workers=1) as server:
        yield server.start()


def test_the_picture_shows_the_page(page: Page) -> None:
    """Each word of the page is in the picture's description; with UPDATE_PICTURE=1 it is made."""
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1120, "height": 590})
    expect(page.get_by_text("New messages appear by themselves.")).to_be_visible()
    shown = page.locator("body").inner_text()
    if os.environ.get(UPDATE):
        PICTURE.write_bytes(described(page.screenshot(), shown))
    picture = PICTURE.read_bytes()
    assert description(picture) == shown, f"run this test with {UPDATE}=1, and look at {PICTURE}"
    assert len(picture) < MOST_BYTES


def described(png: bytes, text: str) -> bytes:
    """Return a picture with `text` in it, so that one can't be replaced without the other."""
    chunk = TEXT + text.encode()
    length, checksum = len(chunk) - len(b"iTXt"), zlib.crc32(chunk)
    before, _, after = png.rpartition(END)
    return before + struct.pack(">I", length) + chunk + struct.pack(">I", checksum) + END + after


def description(png: bytes) -> str:
    """Return the text in a picture."""
    start = png.index(TEXT)
    (length,) = struct.unpack(">I", png[start - 4 : start])
    return png[start + len(TEXT) : start + len(b"iTXt") + length].decode()
