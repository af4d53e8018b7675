"""Makes the payloads of stored messages within memory limits; no endpoint delays another.

A message is read and decoded for each attempt, so that an upgrade takes effect at once.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from app.byte_budget import ByteBudget
from app.deliveries.payload import Payload, message_payload, raw_payload
from app.errors import MessageUnreadable, StorageUnavailable
from app.settings.endpoints import Endpoint
from app.storage.interface import MessageStore
from app.storage.message import StoredMessage

Read = Callable[[], bytes]
RAW = "raw"
"""The value of an endpoint's `format` that sends messages as they were received."""
MOST_PARSED_AT_ONCE = 2
"""Per process, since parsing may take a second, and four times the message's size in memory.

Those of TINY_BYTES don't count: they take milliseconds, and waiting for each other costs as much.
"""
TINY_BYTES = 16 * 1024
SMALL_BYTES = 1024 * 1024
RAW_AT_ONCE_BYTES = 64 * 1024 * 1024
"""The total size of raw messages over SMALL_BYTES in requests to one endpoint."""


class Renderer:
    """Makes the payloads of one process; safe for threads."""

    def __init__(self, store: MessageStore) -> None:
        self._store = store
        self._turns = threading.BoundedSemaphore(MOST_PARSED_AT_ONCE)
        self._lock = threading.Lock()
        self._budgets: dict[str, ByteBudget] = defaultdict(lambda: ByteBudget(RAW_AT_ONCE_BYTES))

    @contextmanager
    def payload(self, message_id: str, endpoint: Endpoint) -> Iterator[Payload]:
        """Yield the payload of a message for `endpoint`; hold it only while it is being sent.

        Raises MessageNotFound, MessageCorrupt, MessageUnreadable, StorageUnavailable.
        """
        stored, read = self._store.find(message_id)
        if endpoint.format != RAW:
            yield self._message(stored, read)
            return
        is_small = stored.size <= SMALL_BYTES
        with nullcontext() if is_small else self._budget(endpoint).taken(stored.size):
            yield raw_payload(stored, self._read(read))

    def _message(self, stored: StoredMessage, read: Read) -> Payload:
        with nullcontext() if stored.size <= TINY_BYTES else self._turns:
            return message_payload(stored, self._read(read))

    def _read(self, read: Read) -> bytes:
        try:
            return read()
        except StorageUnavailable as error:
            self._store.check()  # if that fails, too, it isn't about this message
            raise MessageUnreadable("The stored message can't be read.") from error.__cause__

    def _budget(self, endpoint: Endpoint) -> ByteBudget:
        with self._lock:
            return self._budgets[endpoint.name]
