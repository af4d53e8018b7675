"""The application over each store, without a server around it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.intake.receive import Receiver
from app.services import Services
from app.settings import Mail, RateLimit
from app.storage.interface import MessageStore
from app.storage.memory import MemoryStore
from app.storage.sqlite.store import SQLiteStore, create_store

TOKEN = "the-token-of-these-tests"
MAX_MESSAGE_SIZE = 2_000_000
UNLIMITED = RateLimit(per_minute=0, burst=1, url=None, trusted_proxies=())


class Clock:
    """Shows the time it is set to."""

    now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(params=[MemoryStore, SQLiteStore])
def store(request: pytest.FixtureRequest, data_dir: Path) -> Iterator[MessageStore]:
    store = MemoryStore() if request.param is MemoryStore else create_store(data_dir)
    yield store
    store.close()


@pytest.fixture
def app(store: MessageStore, clock: Clock) -> Flask:
    mail = Mail(
        hostname="mx.example.com",
        primary_domain=None,
        max_message_size=MAX_MESSAGE_SIZE,
        blocked_domains=frozenset({"spam.example"}),
        allowed_recipient_domains=frozenset({"example.com", "xn--bcher-kva.example"}),
    )
    receiver = Receiver(store, mail, clock, 8)
    return create_app(Services(store, receiver, (b"old-token", TOKEN.encode()), UNLIMITED))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def post(client: FlaskClient) -> Callable[..., object]:
    """Post a body with the token, as message/rfc822 unless told otherwise."""

    def send(body: bytes, **headers: str) -> object:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        defaults = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "message/rfc822"}
        return client.post("/mail/inbound", data=body, headers=defaults | given)

    return send
