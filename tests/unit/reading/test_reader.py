"""The limits on what a reader does at a time."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

from support.store import add

from app.mime.message import ParsedMessage, Part
from app.reading.reader import (
    CONTENT_AT_ONCE_BYTES,
    MOST_PARSED_AT_ONCE,
    SMALL_BYTES,
    Reader,
)
from app.storage.memory import MemoryStore


def part(reader: Reader, message_id: str) -> Part | None:
    with reader.part(reader.stored(message_id), "1") as found:
        return found


def content(reader: Reader, message_id: str) -> bytes:
    with reader.content(reader.stored(message_id)) as found:
        return found


def parsed(reader: Reader, message_id: str) -> ParsedMessage:
    """Return the message decoded."""
    _, parse = reader.found(message_id)
    return parse()


def test_only_two_are_parsed_at_a_time() -> None:
    """Further requests for messages and parts wait; requests for raw bytes don't."""
    begun, may_end = threading.Semaphore(0), threading.Event()

    class SlowStore(MemoryStore):
        """A store whose `read` waits for `may_end`."""

        def read(self, message_id: str) -> bytes:
            """See MessageStore.read."""
            begun.release()
            assert may_end.wait(10)
            return super().read(message_id)

    store = SlowStore()
    message_id = add(store, b"\r\nHello")
    reader = Reader(store, lambda: False)
    with ThreadPoolExecutor(8) as pool:
        parsing: list[Future[ParsedMessage] | Future[Part | None]] = []
        parsing += [pool.submit(parsed, reader, message_id) for _ in range(3)]
        parsing += [pool.submit(part, reader, message_id) for _ in range(3)]
        for _ in range(MOST_PARSED_AT_ONCE):
            assert begun.acquire(timeout=5)
        assert not begun.acquire(timeout=0.2)
        raw = pool.submit(content, reader, message_id)
        assert begun.acquire(timeout=5)
        may_end.set()
        assert raw.result(5) == b"\r\nHello"
        results = [each.result(5) for each in parsing]
    assert [type(each) for each in results] == [ParsedMessage] * 3 + [Part] * 3


def test_large_messages_in_memory_are_limited() -> None:
    """A further large message waits until others have been sent; a small one doesn't."""
    store = MemoryStore()
    large = [add(store, b"x" * (CONTENT_AT_ONCE_BYTES // 2), f"large-{each}") for each in range(3)]
    small = add(store, b"x" * SMALL_BYTES, "small")
    reader = Reader(store, lambda: False)
    with ThreadPoolExecutor(1) as pool:
        with reader.content(reader.stored(large[0])), reader.part(reader.stored(large[1]), "1"):
            third = pool.submit(content, reader, large[2])
            assert content(reader, small) == b"x" * SMALL_BYTES
            time.sleep(0.2)
            assert not third.done()
        assert len(third.result(5)) == CONTENT_AT_ONCE_BYTES // 2
