"""Requests that a page of the inbox has sent itself, and those of others."""

import pytest

from app.auth.same_origin import is_same_origin

HOST = "mail.example.com:3000"


@pytest.mark.parametrize(
    ("fetch_site", "origin", "host"),
    [
        ("same-origin", None, HOST),
        ("same-origin", "null", HOST),
        ("same-origin", "https://mail.example.com", "127.0.0.1:3000"),  # a proxy changed Host
        (None, "http://mail.example.com:3000", HOST),
        (None, "https://mail.example.com", "mail.example.com"),
        (None, "http://MAIL.example.com:3000", HOST),
    ],
)
def test_its_own_are_recognized(fetch_site: str | None, origin: str | None, host: str) -> None:
    """By Sec-Fetch-Site, and without it by Origin."""
    assert is_same_origin(fetch_site, origin, host)


@pytest.mark.parametrize("fetch_site", ["cross-site", "same-site", "none", "", "SAME-ORIGIN"])
def test_sec_fetch_site_decides(fetch_site: str) -> None:
    """Another port of the same host is another origin, though the same site."""
    assert not is_same_origin(fetch_site, f"http://{HOST}", HOST)


@pytest.mark.parametrize(
    "origin",
    [
        *(None, "", "null", HOST, f"//{HOST}", f"ftp://{HOST}", f"http://{HOST}/"),
        *("http://mail.example.com", "http://mail.example.com:3001", "http://evil.example"),
        *(f"http://{HOST}.evil.example", f"http://evil.example:{HOST}", f"http://x@{HOST}"),
    ],
)
def test_another_origin_is_another_one(origin: str | None) -> None:
    """And so is none at all."""
    assert not is_same_origin(None, origin, HOST)


def test_without_a_host_nothing_is_the_same() -> None:
    """An empty Origin and no Host aren't equal."""
    assert not is_same_origin(None, "http://", None)
    assert not is_same_origin(None, "http://", "")
