"""Requests and messages for tests of the routes that read mail."""

from typing import Any

from flask.testing import FlaskClient
from support.application import API_AUTHORIZATION, post_mail
from werkzeug.test import TestResponse

PNG = b"\x89PNG\r\n\x1a\nnot really"

WITH_PARTS = b"""\
From: =?utf-8?q?J=C3=BCrgen?= <ann@example.org>\r
To: bob@example.com\r
Message-ID: <a@example.org>\r
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r
Date: Mon, 2 Mar 2026 10:00:00 +0100\r
Content-Type: multipart/mixed; boundary=b\r
\r
--b\r
Content-Type: text/plain; charset=utf-8\r
\r
Gr\xc3\xbc\xc3\x9fe\r
--b\r
Content-Type: image/png; name="=?utf-8?q?Gr=C3=BC=C3=9Fe.png?="\r
Content-Transfer-Encoding: base64\r
\r
iVBORw0KGgpub3QgcmVhbGx5\r
--b\r
Content-Type: image/svg+xml\r
\r
<svg onload='alert(1)'/>\r
--b--\r
"""


def get(client: FlaskClient, path: str, method: str = "GET", **headers: str) -> TestResponse:
    """Send a request with an api_token; write the header If-None-Match as If_None_Match."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.open(path, method=method, headers=API_AUTHORIZATION | named)


def send(client: FlaskClient, raw: bytes = WITH_PARTS, **headers: str) -> str:
    """Deliver a message and return its id."""
    answer = post_mail(client, raw, **headers)
    assert answer.status_code == 200
    message_id: str = answer.get_json()["message_id"]
    return message_id


def send_numbered(client: FlaskClient, count: int, recipient: str = "bob@example.com") -> list[str]:
    """Deliver `count` messages to `recipient` and return their ids."""
    return [
        send(client, f"From: a@example.org\r\nTo: {recipient}\r\n\r\n{number}".encode())
        for number in range(count)
    ]


def listed(client: FlaskClient, query: str = "") -> dict[str, Any]:
    """Return the page that GET /messages returns for `query`."""
    answer = get(client, f"/messages{query}")
    assert answer.status_code == 200, answer.data
    page: dict[str, Any] = answer.get_json()
    return page


def ids(page: dict[str, Any]) -> list[str]:
    """Return the ids in a page."""
    return [each["id"] for each in page["messages"]]
