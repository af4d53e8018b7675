"""The application over each store, without a server around it."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_network
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from support.application import MAIL, Post, post_mail
from support.clock import Clock
from support.inbox import inbox_services
from support.tokens import TOKENS

from app import create_app
from app.auth.tokens import TokenKind, make_token
from app.intake.receive import Receiver
from app.services import Services
from app.settings import Endpoint
from app.storage.interface import MessageStore

MAX_MESSAGE_SIZE = 2_000_000
OLD_TOKEN = make_token(TokenKind.BEARER, "old-token")


@pytest.fixture
def clock() -> Clock[datetime]:
    """Return the time of day."""
    return Clock(datetime(2026, 3, 1, 12, 0, tzinfo=UTC))


@pytest.fixture
def endpoints() -> tuple[Endpoint, ...]:
    """Return where messages are sent; nowhere, but for test files that have their own."""
    return ()


@pytest.fixture
def app(
    store: MessageStore, clock: Clock[datetime], endpoints: tuple[Endpoint, ...], data_dir: Path
) -> Flask:
    data_dir.mkdir(exist_ok=True)
    mail = replace(
        MAIL,
        hostname="mx.example.com",
        max_message_size=MAX_MESSAGE_SIZE,
        allowed_recipient_domains=frozenset({"example.com", "xn--bcher-kva.example"}),
    )
    receiver = Receiver(store, mail, clock, 8)
    return create_app(
        Services(
            store,
            receiver,
            (OLD_TOKEN, *TOKENS),
            trusted_proxies=(ip_network("127.0.0.0/8"),),
            clock=clock,
            endpoints=endpoints,
            inbox=inbox_services(data_dir, "mail.example.com"),
        )
    )


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def post(client: FlaskClient) -> Post:
    """Return a function that posts a body with the token."""
    return partial(post_mail, client)
