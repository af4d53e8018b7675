"""What tests of the application give it, and how they post mail to it."""

from collections.abc import Callable

from flask.testing import FlaskClient
from support.tokens import API_TOKEN, TOKEN
from werkzeug.test import TestResponse

from app.settings import Mail

MAIL = Mail(
    hostname=None,
    primary_domain=None,
    max_message_size=100_000,
    blocked_domains=frozenset({"spam.example"}),
    allowed_recipient_domains=frozenset({"example.com"}),
)

AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}
API_AUTHORIZATION = {"Authorization": f"Bearer {API_TOKEN}"}

Post = Callable[..., TestResponse]


def post_mail(client: FlaskClient, body: bytes, **headers: str) -> TestResponse:
    """Post `body` with the token, as message/rfc822 unless told otherwise.

    The header X-Original-Sender is written X_Original_Sender.
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    fixed = AUTHORIZATION | {"Content-Type": "message/rfc822"}
    return client.post("/mail/inbound", data=body, headers=fixed | named)
