"""A sender for tests, and what it sends."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

from support.endpoint_server import EndpointServer

from app.deliveries.deadlines import DeadlineWatch
from app.deliveries.name_lookup import NameLookup
from app.deliveries.outcome import Outcome
from app.deliveries.payload import Payload
from app.deliveries.sender import Sender
from app.settings.endpoints import Endpoint

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = datetime(2026, 11, 26, 12, 0, 0, 500000, tzinfo=UTC)
PAYLOAD = Payload(b'{"type":"message.received"}', "application/json")
WATCH = DeadlineWatch()


def make_endpoint(url: str, **changes: Any) -> Endpoint:
    """Return an endpoint with the default settings, but for `changes` and a timeout of 1 s."""
    settings: dict[str, Any] = {
        "name": "app",
        "url": url,
        "recipients": ("*",),
        "secrets": (SECRET,),
        "format": "message",
        "timeout": 1,
        "concurrency": 8,
        "ordered": False,
        "ca_file": None,
        "client_cert_file": None,
        "client_key_file": None,
        "networks": "any",
    }
    return Endpoint(**(settings | changes))


LookUp = Callable[[str], list[str]]


def no_look_up(_: str) -> list[str]:
    """Have no addresses."""
    raise OSError("tests look nothing up")


@contextmanager
def sender_to(url: str, look_up: LookUp = no_look_up, **changes: Any) -> Iterator[Sender]:
    """Yield a sender to `url`, whose name `look_up` has the addresses of."""
    sender = Sender(make_endpoint(url, **changes), [SECRET], NameLookup(look_up), WATCH)
    with closing(sender):
        yield sender


def sent_to(server: EndpointServer, payload: Payload = PAYLOAD, **changes: Any) -> Outcome:
    """Return what comes of one attempt."""
    with sender_to(server.url(), **changes) as sender:
        return sender.send("msg_1", payload, NOW)
