"""Puts the pictures of a message into its HTML, in place of `cid:` URLs (RFC 2392)."""

import re
from base64 import b64encode
from collections.abc import Callable
from html import unescape
from urllib.parse import unquote

MOST_BYTES = 2 * 1024 * 1024
MOST_BYTES_IN_ALL = 10 * 1024 * 1024
"""Counted each time that a picture is shown."""

_QUOTE = "&quot;|&apos;|&#3[49];"
# Only where a URL may begin, so that text about a `cid:` URL stays as it is.
_CID_URL = re.compile(
    rf"(?P<before>(?:[=\"'(]|{_QUOTE})\s{{0,9}})cid:(?P<id>(?:(?!{_QUOTE})[^\s\"'<>()]){{1,3000}})",
    re.IGNORECASE,
)
_TYPES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "image/webp"),
)


class Pictures:
    """The pictures of one message; counts how much of them has been put into its HTML."""

    def __init__(self, part: Callable[[str], bytes | None]) -> None:
        """`part` returns the content of the part with a Content-ID, None if there is none."""
        self._part = part
        self._urls: dict[str, tuple[bytes, int]] = {}
        self._bytes_left = MOST_BYTES_IN_ALL

    def put_into(self, html: str) -> bytes:
        """Return `html` in UTF-8, with a `data:` URL for each `cid:` URL of a picture that fits."""
        # Encoded piece by piece: a single emoji would make a str of it all four times as large.
        pieces, end = [], 0
        for found in _CID_URL.finditer(html):
            url = self._url(found["id"])
            if url:
                pieces += [html[end : found.end("before")].encode(), url]
                end = found.end()
        return b"".join([*pieces, html[end:].encode()])

    def _url(self, quoted_id: str) -> bytes:
        content_id = unquote(unescape(quoted_id))
        if content_id not in self._urls:
            self._urls[content_id] = _data_url(self._part(content_id) or b"")
        url, size = self._urls[content_id]
        if size > self._bytes_left:
            return b""
        self._bytes_left -= size
        return url


def _data_url(content: bytes) -> tuple[bytes, int]:
    """Return the URL for a picture and the size of the picture; no URL if it isn't to be shown."""
    content_type = _type_of(content)
    if content_type is None or len(content) > MOST_BYTES:
        return b"", 0
    return f"data:{content_type};base64,".encode() + b64encode(content), len(content)


def _type_of(content: bytes) -> str | None:
    """Return the type that the first bytes of a picture show, whatever its part declares."""
    return next((name for pattern, name in _TYPES if pattern.match(content)), None)
