"""Chromium as Debian packages it, driven by Playwright."""

from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Playwright
from support.requirement import require_program

OTHER_HOST = "attacker.test"
"""A name for 127.0.0.1 in this browser, as somebody's name server might make it."""
_ARGUMENTS = [
    "--disable-gpu",
    # No other name is looked up: nothing here leaves the machine.
    f"--host-resolver-rules=MAP {OTHER_HOST} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1,"
    " EXCLUDE localhost",
]


def launch(playwright: Playwright) -> Browser:
    """Start Chromium; skip or fail if it is missing."""
    path = require_program("chromium")
    return playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)


def launch_as_installed(playwright: Playwright, profile: Path, url: str) -> BrowserContext:
    """Start Chromium with a profile; it connects ahead of requests, as it does for people.

    It doesn't do so in the contexts that Playwright makes otherwise, which are incognito.
    """
    return playwright.chromium.launch_persistent_context(
        profile,
        executable_path=require_program("chromium"),
        args=_ARGUMENTS,
        ignore_default_args=["--disable-background-networking"],
        base_url=url,
    )
