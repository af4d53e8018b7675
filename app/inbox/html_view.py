"""Makes the document in which a browser shows the HTML of a message.

Nothing is taken out of the HTML: sanitizers have been bypassed again and again. Instead, the answer
carries `security_policy`, under which a browser runs no script, loads nothing, sends no form, and
keeps the document in an origin of its own, whatever the HTML says. Only what the policy doesn't
reach is changed: where links open, and what a browser connects to before it asks the policy.
"""

import re

from app.inbox.pictures import Pictures
from app.mime.html_body import read_html

MOST_HTML_BYTES = 2 * 1024 * 1024
"""Before charsets are decoded; browsers take seconds to lay out more."""
MOST_LINKS = 20_000
"""Together with frames."""

# These attributes are put before those of a tag: of two with one name, browsers use the first. They
# have no quotation marks, which could end the value of another attribute that looks like a tag.
#
# Chromium connects to the hosts of frames and of <link rel=preconnect>, which tells them that the
# message is read, before the policy stops the request. The part of it that looks ahead for links
# takes any attribute, not the first, so they have to become other elements: <meta>, which may be
# wherever <link> may, and could be in the message anyway.
_REPLACED = {
    "a": "a target=_blank rel=noreferrer",
    "area": "area target=_blank rel=noreferrer",
    "frame": "frame src",
    "iframe": "iframe srcdoc src",
    "link": "meta",
}
_WITHIN_THE_DOCUMENT = " target=_self"
_TAG = re.compile(
    rf"(?<=<)({'|'.join(_REPLACED)})(?=[\s/])"
    r"(?=([^<>]*?\shref\s*=\s*[\"']?#)?)",  # up to the next tag, so in linear time
    re.IGNORECASE,
)

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;overflow-wrap:break-word}pre{white-space:pre-wrap}"
)
# The body gets the keyboard's focus, or a long message without links couldn't be scrolled by it.
_BEGINNING = (
    f'<!doctype html>\n<base target="_blank">\n<style>{_STYLE}</style>\n<body tabindex="0">\n'
)
_TOO_MUCH = (
    f"{_BEGINNING}<title>Too much HTML</title>\n<p>This message has more than 2 MiB of HTML, or"
    f" more than {MOST_LINKS:,} links, which is too much to show. Read its text or source.</p>\n"
)


def html_document(raw: bytes) -> bytes | None:
    """Return the document for a message in UTF-8; None if it has no HTML. Never raises.

    Pictures from the message are in it, since its origin gets no cookies with which to load them.
    Beyond MOST_HTML_BYTES or MOST_LINKS, it only says that there is too much.
    """
    body = read_html(raw, MOST_HTML_BYTES)
    if body is None:
        return None
    html, links = _TAG.subn(_replacement, body.html, MOST_LINKS + 1)
    if not body.is_whole or links > MOST_LINKS:
        return _TOO_MUCH.encode()
    return _BEGINNING.encode() + Pictures(body.part).put_into(html)


def security_policy(*, with_remote_pictures: bool) -> str:
    """Return the Content-Security-Policy for the document.

    Its `sandbox` counts also when the document isn't in a frame, and stops `<meta http-equiv=
    refresh>`, which no other directive does. A page that a link opens isn't in the sandbox.
    """
    pictures = "data: http: https:" if with_remote_pictures else "data:"
    return (
        "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
        f"img-src {pictures}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'"
    )


def _replacement(tag: re.Match[str]) -> str:
    name = tag[1].lower()
    is_within = name in {"a", "area"} and tag[2] is not None
    return name + _WITHIN_THE_DOCUMENT if is_within else _REPLACED[name]
