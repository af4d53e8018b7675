"""Reads stored messages for the API: page by page, one at a time, or as they arrive."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import NamedTuple, TypeVar

from app.byte_budget import ByteBudget
from app.mime.message import ParsedMessage, Part, parse, read_part
from app.reading.arrival_watch import ArrivalWatch
from app.storage.interface import MessageStore, Page, Query
from app.storage.message import StoredMessage

MOST_SCANNED = 50_000
"""How many index rows a page examines if no index has what the query asks for."""
MOST_HEADS = 5_000
"""How many header sections a page examines if the query asks for a Message-ID."""
MOST_PARSED_AT_ONCE = 2
"""Per worker, since parsing may take a second, and four times the message's size in memory."""
SMALL_BYTES = 1024 * 1024
CONTENT_AT_ONCE_BYTES = 64 * 1024 * 1024
"""Per worker: the total size of messages over SMALL_BYTES that are being sent to clients."""
PAUSE_SECONDS = 0.3
"""The least time between two queries of a waiting request, however much other mail arrives."""

Decoded = TypeVar("Decoded")


class Waited(NamedTuple):
    """The result of a wait; `was_refused` if it didn't wait because too many requests do."""

    page: Page
    was_refused: bool


class Reader:
    """Reads messages within the limits of one worker, which has one reader; safe for threads."""

    def __init__(self, store: MessageStore, is_draining: Callable[[], bool]) -> None:
        """End all waits once `is_draining` returns True."""
        self._store = store
        self._watch = ArrivalWatch(store, is_draining)
        self._large_content = ByteBudget(CONTENT_AT_ONCE_BYTES)
        self._turns = threading.BoundedSemaphore(MOST_PARSED_AT_ONCE)

    def page(self, query: Query) -> Page:
        """Return the first page of the matching messages; see MessageStore.page."""
        most = MOST_SCANNED if query.header_message_id is None else MOST_HEADS
        return self._store.page(query, most)

    def wait(self, query: Query, seconds: float) -> Waited:
        """Return the first page with a message, waiting up to `seconds` for one to arrive.

        The page is empty at the end of that time, in a drain, if too many requests wait, or if the
        scan has reached its limit (`has_more`). Raises StorageUnavailable.
        """
        page = self.page(query)
        if _is_answer(page) or seconds <= 0:
            return Waited(page, was_refused=False)
        until = time.monotonic() + seconds
        with self._watch.waiter(query.recipient) as waiter:
            if waiter is None:
                return Waited(page, was_refused=True)
            while True:
                queried_at = time.monotonic()
                page = _continued(page, self.page(_after(query, page)))
                if _is_answer(page) or not waiter.wait(until, queried_at + PAUSE_SECONDS):
                    return Waited(page, was_refused=False)

    def stored(self, message_id: str) -> StoredMessage:
        """Return what the index knows about a message; see MessageStore.get."""
        return self._store.get(message_id)

    @contextmanager
    def content(self, stored: StoredMessage) -> Iterator[bytes]:
        """Yield the bytes as received; large ones count as held until the end of the context.

        Waits while too many bytes are held. Raises as MessageStore.read does.
        """
        with self._room(stored):
            yield self._store.read(stored.message_id)

    def found(self, message_id: str) -> tuple[StoredMessage, Callable[[], ParsedMessage]]:
        """Return what `stored` does, and a function that returns the message decoded.

        The function waits for its turn, and raises as MessageStore.read does. That costs one
        look-up for both.
        """
        stored, read = self._store.find(message_id)

        def parsed() -> ParsedMessage:
            with self._turns:
                return parse(read())

        return stored, parsed

    def part(self, stored: StoredMessage, number: str) -> AbstractContextManager[Part | None]:
        """Yield one part decoded, None if no part has this number; otherwise like `content`."""
        return self.decoded(stored, lambda raw: read_part(raw, number))

    @contextmanager
    def decoded(
        self, stored: StoredMessage, decode: Callable[[bytes], Decoded]
    ) -> Iterator[Decoded]:
        """Yield what `decode` makes of the bytes, waiting for a turn; otherwise like `content`."""
        with self._room(stored):
            with self._turns:
                made = decode(self._store.read(stored.message_id))
            yield made

    def _room(self, stored: StoredMessage) -> AbstractContextManager[None]:
        # Small messages don't wait for clients that receive large ones slowly.
        if stored.size <= SMALL_BYTES:
            return nullcontext()
        return self._large_content.taken(stored.size)


def _is_answer(page: Page) -> bool:
    return bool(page.messages) or page.has_more


def _after(query: Query, page: Page) -> Query:
    """Return the query for what comes after `page`, so that no message is examined twice."""
    return query if page.position is None else replace(query, after=page.position)


def _continued(page: Page, following: Page) -> Page:
    """Return `following`, at the position of `page` if it examined no message."""
    if following.position is None:
        return replace(following, position=page.position)
    return following
