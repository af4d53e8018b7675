"""A delivery is carried out from what is stored."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook
from support.endpoint_server import EndpointServer, answering, healthy
from support.plain_mail import plain_mail
from support.sending import SECRET, make_endpoint
from support.server import wait_for
from support.store import AT, add

from app.deliveries.courier import Courier
from app.deliveries.outcome import OutcomeKind, Reason
from app.errors import MessageNotFound
from app.storage.delivery import Claim, Delivery, State
from app.storage.interface import MessageStore

RAW = plain_mail("hello", b"\xff\x00 bytes")


def claim(message_id: str) -> Claim:
    delivery = Delivery(
        number=1,
        message_id=message_id,
        message_number=1,
        endpoint="app",
        recipient="c@d",
        state=State.PENDING,
        attempts=0,
        due_at=AT,
        is_replay=False,
        created_at=AT,
        settled_at=None,
        reason=None,
    )
    return Claim(delivery, bytes(16), AT)


@pytest.fixture
def courier(store: MessageStore) -> Iterator[Courier]:
    """Return one for the store."""
    with closing(Courier(store, lambda each: each.secrets, lambda: datetime.now(UTC))) as made:
        yield made


def test_the_endpoint_gets_the_message(store: MessageStore, courier: Courier) -> None:
    """As JSON, and its bytes where it wants them; the id is the same at each attempt."""
    message_id = add(store, RAW)
    with EndpointServer(healthy) as server:
        endpoint = make_endpoint(server.url())
        for each in (endpoint, endpoint, replace(endpoint, format="raw")):
            assert courier.send(each, claim(message_id)).kind is OutcomeKind.DELIVERED
        first, second, raw = server.received
        courier.close()
    assert {each.headers["webhook-id"] for each in server.received} == {f"msg_{message_id}"}
    found = Webhook(SECRET).verify(first.body, dict(first.headers))
    assert (found["data"]["id"], found["data"]["subject"]) == (message_id, "hello")
    assert (first.body, first.visit) == (second.body, second.visit)
    assert raw.body == RAW
    assert json.loads(first.body)["data"]["sha256"]


def test_large_raw_mail_is_sent(store: MessageStore, courier: Courier) -> None:
    """Of more than a MiB."""
    raw = plain_mail("large", bytes(3 * 1024 * 1024))
    message_id = add(store, raw)
    with EndpointServer(healthy) as server:
        courier.send(make_endpoint(server.url(), format="raw", timeout=20), claim(message_id))
        courier.close()
    assert server.received[0].body == raw


def test_an_endpoint_that_has_changed(store: MessageStore, courier: Courier) -> None:
    """What is new in its settings counts from the next attempt on."""
    message_id = add(store, RAW)
    gone = answering(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n")
    with EndpointServer(gone) as old, EndpointServer(healthy) as new:
        endpoint = make_endpoint(old.url())
        assert courier.send(endpoint, claim(message_id)).reason is Reason.GONE
        moved = replace(endpoint, url=new.url())
        assert courier.send(moved, claim(message_id)).kind is OutcomeKind.DELIVERED
        courier.close()


def test_a_message_that_is_gone(courier: Courier) -> None:
    """Nothing is sent."""
    with EndpointServer(healthy) as server:
        with pytest.raises(MessageNotFound):
            courier.send(make_endpoint(server.url()), claim("none"))
        assert server.visits == 0


def test_threads_end_with_the_courier(store: MessageStore) -> None:
    """Those that look up names and watch deadlines: a reload leaves none behind."""
    message_id = add(store, RAW)
    with EndpointServer(healthy) as server:
        before = set(threading.enumerate())
        made = Courier(store, lambda each: each.secrets, lambda: datetime.now(UTC))
        by_name = server.url().replace("127.0.0.1", "localhost")
        assert made.send(make_endpoint(by_name), claim(message_id)).kind is OutcomeKind.DELIVERED
        own = {"look-up", "deadlines"}
        assert own <= {each.name for each in set(threading.enumerate()) - before}
        made.close()
        wait_for(lambda: own.isdisjoint(t.name for t in set(threading.enumerate()) - before))
