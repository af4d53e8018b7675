"""An application with the inbox page, and what a browser does with it."""

from pathlib import Path

from flask.testing import FlaskClient
from lxml import html
from support.tokens import API_TOKEN
from werkzeug.test import TestResponse

from app.auth.allowed_hosts import allowed_hosts
from app.ratelimit.limit import Limit
from app.ratelimit.shared_memory import SharedLimiter
from app.ratelimit.token_bucket import token_bucket
from app.services import InboxServices
from app.state.bucket_table import BucketTable
from app.state.ended_sessions import EndedSessionsFile, ended_sessions_file

FROM_THE_PAGE = {"Sec-Fetch-Site": "same-origin"}


def inbox_services(data_dir: Path, *hosts: str) -> InboxServices:
    """Return services with a bucket of their own for failed logins."""
    limit = Limit(SharedLimiter(BucketTable(), token_bucket(10, 10)), 10, 10, "login:")
    ended = EndedSessionsFile(ended_sessions_file(data_dir))
    return InboxServices(allowed_hosts(hosts), limit, ended, data_dir)


def post_form(client: FlaskClient, path: str, **fields: str) -> TestResponse:
    """Post a form as a browser does from one of the pages."""
    return client.post(path, data=fields, headers=FROM_THE_PAGE)


def log_in(client: FlaskClient, token: str = API_TOKEN) -> FlaskClient:
    """Log in, and return the client, which keeps the cookie."""
    answer = post_form(client, "/inbox/login", token=token)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/inbox")
    return client


def page(client: FlaskClient, path: str, status: int = 200) -> html.HtmlElement:
    """Return the page at `path`, parsed."""
    answer = client.get(path)
    assert (answer.status_code, answer.mimetype) == (status, "text/html"), answer.text
    return html.fromstring(answer.text)


def text_of(document: html.HtmlElement, selector: str = "main") -> str:
    """Return the text of all elements that `selector` (an element or .class) finds."""
    name, _, kind = selector.partition(".")
    among = f"[contains(concat(' ', @class, ' '), ' {kind} ')]" if kind else ""
    found = document.xpath(f"//{name or '*'}{among}")
    return " ".join(" ".join(each.text_content().split()) for each in found)


def links(document: html.HtmlElement) -> dict[str, str]:
    """Return the targets of all links by their texts."""
    return {" ".join(each.text_content().split()): each.get("href") for each in document.iter("a")}


def forms(document: html.HtmlElement) -> dict[str, str]:
    """Return the targets of all forms that are posted, by the texts of their buttons."""
    return {
        " ".join(each.text_content().split()): each.get("action")
        for each in document.iter("form")
        if each.get("method") == "post"
    }
