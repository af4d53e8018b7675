"""Payloads are made within bounds of memory, and no endpoint waits for another one's."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.sending import make_endpoint
from support.store import add

from app.deliveries.payload import Payload
from app.deliveries.rendering import MOST_PARSED_AT_ONCE, RAW_AT_ONCE_BYTES, TINY_BYTES, Renderer
from app.errors import MessageUnreadable, StorageUnavailable
from app.settings.endpoints import Endpoint
from app.storage.memory import MemoryStore

MESSAGE = make_endpoint("http://app.example/")
RAW = make_endpoint("http://app.example/", format="raw")
OTHER = make_endpoint("http://other.example/", format="raw", name="other")


def rendered(renderer: Renderer, message_id: str, endpoint: Endpoint) -> Payload:
    with renderer.payload(message_id, endpoint) as payload:
        return payload


def test_each_endpoint_gets_its_format() -> None:
    """JSON, or the bytes."""
    store = MemoryStore()
    message_id = add(store, b"Subject: x\r\n\r\nHello")
    renderer = Renderer(store)
    assert rendered(renderer, message_id, MESSAGE).content_type == "application/json"
    assert rendered(renderer, message_id, RAW).body == b"Subject: x\r\n\r\nHello"


def test_two_are_read_at_a_time() -> None:
    """Of many that are to become JSON the others wait; raw and tiny ones don't."""
    begun, may_end = threading.Semaphore(0), threading.Event()

    class SlowStore(MemoryStore):
        """Takes its time, within the turn of the one who parses."""

        def read(self, message_id: str) -> bytes:
            """See MessageStore.read."""
            begun.release()
            assert may_end.wait(10)
            return super().read(message_id)

    store = SlowStore()
    content = b"\r\nHello" + b"!" * TINY_BYTES
    message_id, tiny_id = add(store, content), add(store, b"\r\nHello", key="tiny")
    renderer = Renderer(store)
    with ThreadPoolExecutor(8) as pool:
        reading = [pool.submit(rendered, renderer, message_id, MESSAGE) for _ in range(5)]
        for _ in range(MOST_PARSED_AT_ONCE):
            assert begun.acquire(timeout=5)
        assert not begun.acquire(timeout=0.2)
        raw = pool.submit(rendered, renderer, message_id, RAW)
        assert begun.acquire(timeout=5)
        pool.submit(rendered, renderer, tiny_id, MESSAGE)
        assert begun.acquire(timeout=5)
        may_end.set()
        assert raw.result(5).body == content
        assert len({each.result(5).body for each in reading}) == 1


def test_large_raw_mail_waits_for_its_endpoint_alone() -> None:
    """Until what is on its way there has been sent; another endpoint gets it at once."""
    store = MemoryStore()
    half = b"x" * (RAW_AT_ONCE_BYTES // 2)
    first, second, third = (add(store, half, f"large-{each}") for each in range(3))
    small = add(store, b"\r\nHello", "small")
    renderer = Renderer(store)
    with ThreadPoolExecutor(1) as pool:
        with renderer.payload(first, RAW), renderer.payload(second, RAW):
            waiting = pool.submit(rendered, renderer, third, RAW)
            assert rendered(renderer, small, RAW).body == b"\r\nHello"
            assert rendered(renderer, third, OTHER).body == half
            time.sleep(0.2)
            assert not waiting.done()
        assert waiting.result(5).body == half


class FailingStore(MemoryStore):
    """Returns no bytes, and perhaps fails altogether."""

    fails = False

    def read(self, message_id: str) -> bytes:
        """See MessageStore.read."""
        raise StorageUnavailable from OSError(5, message_id)

    def check(self) -> None:
        """See MessageStore.check."""
        if self.fails:
            raise StorageUnavailable


@pytest.mark.parametrize("endpoint", [MESSAGE, RAW])
def test_one_message_that_cannot_be_read_is_told_from_a_store_that_fails(
    endpoint: Endpoint,
) -> None:
    """By whether the store works otherwise; the cause is kept for the log."""
    store = FailingStore()
    message_id = add(store, b"\r\nHello")
    with pytest.raises(MessageUnreadable) as caught:
        rendered(Renderer(store), message_id, endpoint)
    assert isinstance(caught.value.__cause__, OSError)
    store.fails = True
    with pytest.raises(StorageUnavailable):
        rendered(Renderer(store), message_id, endpoint)
