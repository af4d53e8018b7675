"""Messages with HTML and pictures."""

from base64 import b64decode, encodebytes
from collections.abc import Mapping

PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""A picture of one pixel."""
GIF = b64decode("R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==")
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF"
WEBP = b"RIFF\x1a\x00\x00\x00WEBPVP8L"

_HEAD = """\
From: ann@example.org\r
To: bob@example.com\r
Subject: {subject}\r
MIME-Version: 1.0\r
Content-Type: multipart/related; boundary=b\r
\r
"""


def html_mail(
    html: str, pictures: Mapping[str, bytes] | None = None, subject: str = "HTML"
) -> bytes:
    """Return a message with `html` and the pictures, which are called by their Content-IDs."""
    parts = [_part("text/html; charset=utf-8", html.encode())]
    for content_id, content in (pictures or {}).items():
        parts.append(_part("application/octet-stream", content, content_id))
    return _HEAD.format(subject=subject).encode() + b"".join(parts) + b"--b--\r\n"


def _part(content_type: str, content: bytes, content_id: str | None = None) -> bytes:
    named = f"Content-ID: {content_id}\r\n" if content_id else ""
    head = (
        f"--b\r\nContent-Type: {content_type}\r\n{named}Content-Transfer-Encoding: base64\r\n\r\n"
    )
    return head.encode() + encodebytes(content) + b"\r\n"
