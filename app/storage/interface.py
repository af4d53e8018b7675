"""What a store of messages does, whatever it is made of."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.storage.body import Body
from app.storage.message import Message, Receipt, StoredMessage


@dataclass(frozen=True)
class Query:
    """Which stored messages: `since` inclusive, `until` exclusive, `limit` None for all.

    `recipient` is compared as by app.domains.comparable_address.
    """

    recipient: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None
    oldest_first: bool = False


class StoreRecorder(Protocol):
    """What a store tells about its work, see app.metrics.recorder."""

    def commit(self, batch_size: int) -> None:
        """Count a commit that made `batch_size` messages durable, or found them to be."""
        ...

    def failed_add(self) -> None:
        """Count a message that the store couldn't take."""
        ...

    def check(self, *, succeeded: bool) -> None:
        """Count a check of the store."""
        ...


class MessageStore(Protocol):
    """Durable, idempotent storage. Every method may be called from any thread."""

    def new_body(self) -> Body:
        """Return an empty body, to be filled and handed to `add` of this store, or discarded."""
        ...

    def add(self, message: Message, body: Body) -> Receipt:
        """Store `message` once for each idempotency key; atomic and durable on return.

        Takes the body over in every case. Raises StorageUnavailable, and then the message
        is not visible.
        """
        ...

    def get(self, message_id: str) -> StoredMessage:
        """Return one message; raises MessageNotFound, StorageUnavailable."""
        ...

    def read(self, message_id: str) -> bytes:
        """Return exactly the bytes that were stored.

        Raises MessageNotFound, MessageCorrupt when the checksum doesn't match, and
        StorageUnavailable.
        """
        ...

    def remove(self, message_id: str) -> None:
        """Forget one message, durably; raises MessageNotFound, StorageUnavailable."""
        ...

    def search(self, query: Query) -> Iterator[StoredMessage]:
        """Yield the matching messages, the newest first unless the query says otherwise.

        Raises StorageUnavailable.
        """
        ...

    def count(self, query: Query) -> int:
        """Return how many messages match, up to the query's limit; raises StorageUnavailable."""
        ...

    def check(self) -> None:
        """Raise StorageUnavailable unless something can be written now."""
        ...

    def close(self) -> None:
        """Release files and connections; nothing may be called afterwards."""
        ...
