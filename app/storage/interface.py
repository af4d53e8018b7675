"""What a message store does, whatever its backend."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.storage.body import Body
from app.storage.message import Message, Reason, Receipt, Statistics, StoredMessage


@dataclass(frozen=True)
class Query:
    """Selects stored messages: `since` inclusive, `until` exclusive, `limit` None for all.

    `recipient` is compared as by app.domains.comparable_address. `after` and `before` are
    numbers of messages, exclusive: a reader that goes on from the last number it has seen misses
    nothing, also while others write and delete.
    """

    recipient: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None
    oldest_first: bool = False
    after: int | None = None
    before: int | None = None


class StoreRecorder(Protocol):
    """What a store reports about its work; see app.metrics.recorder."""

    def commit(self, batch_size: int) -> None:
        """Count a commit of `batch_size` messages, including those that were already stored."""
        ...

    def failed_add(self) -> None:
        """Count a message that could not be stored."""
        ...

    def check(self, *, succeeded: bool) -> None:
        """Count a check of the store."""
        ...


class MessageStore(Protocol):
    """Durable, idempotent storage. Every method may be called from any thread."""

    def new_body(self) -> Body:
        """Return an empty body, to be filled and passed to `add` of this store, or discarded."""
        ...

    def add(self, message: Message, body: Body) -> Receipt:
        """Store `message` once for each idempotency key; atomic, and durable on return.

        The store owns the body from then on, even after a failure. Raises StorageUnavailable, and
        then the message is not visible.
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

    def remove(self, message_ids: Sequence[str], reason: Reason) -> list[str]:
        """Delete messages for good, and return the ids of those that were there; durable on return.

        They are not visible any more, and never come back; repeats of them are still recognized.
        Their bytes may be there until `erase`. Raises StorageUnavailable.
        """
        ...

    def erase(self) -> None:
        """Erase what deleted messages have left behind; raises StorageUnavailable.

        On return, nothing of them is in any file, but for what recognizes their repeats.
        """
        ...

    def forget_deleted(self, before: datetime) -> None:
        """Recognize repeats of messages no more that were deleted before then.

        Raises StorageUnavailable.
        """
        ...

    def note_retention(self, at: datetime) -> None:
        """Note when retention ran last; raises StorageUnavailable."""
        ...

    def statistics(self) -> Statistics:
        """Return the figures of the store; raises StorageUnavailable."""
        ...

    def search(self, query: Query) -> Iterator[StoredMessage]:
        """Yield the matching messages, the last to arrive first unless the query says otherwise.

        Raises StorageUnavailable.
        """
        ...

    def oldest(self, limit: int) -> list[StoredMessage]:
        """Return up to `limit` messages, the first to be received first.

        That is the order of their times, whereas a message that came back after a crash has a
        later number. Raises StorageUnavailable.
        """
        ...

    def count(self, query: Query) -> int:
        """Return how many messages match, up to the query's limit; raises StorageUnavailable."""
        ...

    def check(self) -> None:
        """Raise StorageUnavailable unless the store can be written to now."""
        ...

    def close(self) -> None:
        """Release files and connections; nothing may be called afterwards."""
        ...
