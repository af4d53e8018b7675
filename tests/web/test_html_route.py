"""The HTML of a message is a document of its own, which only people who are logged in get."""

import pytest
from flask.testing import FlaskClient
from support.html_mail import PNG, html_mail
from support.inbox import log_in
from support.reading import send

from app.inbox.html_view import MOST_LINKS, security_policy


@pytest.fixture
def visitor(client: FlaskClient) -> FlaskClient:
    """Return a client that is logged in."""
    return log_in(client)


def test_the_html_is_a_document_with_a_policy(visitor: FlaskClient) -> None:
    """The policy is the strict one; no header lets anything about the message out."""
    message_id = send(visitor, html_mail("<p>Grüße<img src='cid:a'>", {"a": PNG}))
    answer = visitor.get(f"/inbox/{message_id}/html")
    assert answer.status_code == 200
    assert answer.content_type == "text/html; charset=utf-8"
    assert "<p>Grüße<img src='data:image/png;base64," in answer.text
    policies = answer.headers.getlist("Content-Security-Policy")
    assert policies == [security_policy(with_remote_pictures=False)]
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-DNS-Prefetch-Control"] == "off"
    assert answer.headers["Cache-Control"] == "no-store"


def test_remote_pictures_are_allowed_by_a_parameter(visitor: FlaskClient) -> None:
    """For this answer alone."""
    message_id = send(visitor, html_mail("<p>a"))
    answers = [visitor.get(f"/inbox/{message_id}/html{query}") for query in ("?remote=1", "")]
    policies = [each.headers["Content-Security-Policy"] for each in answers]
    assert policies == [security_policy(with_remote_pictures=remote) for remote in (True, False)]


@pytest.mark.parametrize("query", ["remote=2", "remote=", "remote=1&remote=1", "other=1"])
def test_other_parameters_are_refused(visitor: FlaskClient, query: str) -> None:
    """As everywhere: a parameter that does nothing is a mistake."""
    message_id = send(visitor, html_mail("<p>a"))
    assert visitor.get(f"/inbox/{message_id}/html?{query}").status_code == 400


def test_without_html_there_is_nothing(visitor: FlaskClient) -> None:
    """A message of text has no such document, and neither has a message that isn't there."""
    message_id = send(visitor, b"From: a@example.org\r\nTo: bob@example.com\r\n\r\na")
    for path in (message_id, message_id[::-1], "nothing"):
        answer = visitor.get(f"/inbox/{path}/html")
        assert answer.status_code == 404
        assert "sandbox" not in answer.headers["Content-Security-Policy"]


def test_too_much_html_is_said_under_the_same_policy(visitor: FlaskClient) -> None:
    """Nothing of the message is in the answer."""
    message_id = send(visitor, html_mail("<p>secret" + "<a b>" * (MOST_LINKS + 1)))
    answer = visitor.get(f"/inbox/{message_id}/html")
    assert answer.status_code == 200
    assert "too much to show" in answer.text
    assert "secret" not in answer.text
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")


def test_only_people_who_are_logged_in_see_it(client: FlaskClient) -> None:
    """Others are sent to the login page."""
    message_id = send(client, html_mail("<p>secret"))
    answer = client.get(f"/inbox/{message_id}/html")
    assert answer.status_code == 303
    assert b"secret" not in answer.data
