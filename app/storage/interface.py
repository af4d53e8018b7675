"""What a message store does, whatever its backend."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.metrics.catalog import ObjectOperation
from app.storage.body import Body
from app.storage.delivery_queue import DeliveryQueue
from app.storage.message import Message, Reason, Receipt, Statistics, StoredMessage


@dataclass(frozen=True)
class Query:
    """Selects stored messages: `since` inclusive, `until` exclusive, `limit` None for all.

    `recipient` and `sender` are compared with app.domains.comparable_address; `sender` "" is the
    null sender. `subject` is a substring, compared without case; `header_message_id` has no angle
    brackets. `after` and `before` are message numbers, exclusive: a reader that continues after the
    last number it has seen misses nothing, even while others write and delete.
    """

    recipient: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None
    oldest_first: bool = False
    after: int | None = None
    before: int | None = None
    sender: str | None = None
    subject: str | None = None
    queue_id: str | None = None
    header_message_id: str | None = None

    @property
    def is_scan(self) -> bool:
        """Whether each message has to be examined, since no index covers the conditions."""
        asked = (self.sender, self.subject, self.queue_id, self.header_message_id)
        return any(each is not None for each in asked)


@dataclass(frozen=True)
class Page:
    """Some of the messages that match a query.

    `position` is the number of the last message that was examined, None if there was none. If
    `has_more`, messages beyond it may match.
    """

    messages: Sequence[StoredMessage]
    position: int | None
    has_more: bool


@dataclass(frozen=True)
class Arrivals:
    """The recipients of new messages, up to the message with the number `number`.

    `recipients` are in the form of app.domains.comparable_address.
    """

    number: int
    recipients: frozenset[str]


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


class ObjectRecorder(Protocol):
    """What an object store reports about its work."""

    def object_store_operation(self, operation: ObjectOperation, *, succeeded: bool) -> None:
        """Count a request to the object store."""
        ...


class DatabaseRecorder(StoreRecorder, ObjectRecorder, Protocol):
    """What a store in a database reports about its work."""

    def database_pool(self, *, in_use: int, idle: int) -> None:
        """Note how many connections to the database this process has."""
        ...

    def database_pool_wait(self, seconds: float) -> None:
        """Note how long a connection from the pool has taken."""
        ...

    def database_connect_error(self) -> None:
        """Count a connection to the database that couldn't be made."""
        ...


class MessageStore(Protocol):
    """Durable, idempotent storage. Every method may be called from any thread."""

    @property
    def deliveries(self) -> DeliveryQueue:
        """The queue of deliveries, which are removed with their messages."""
        ...

    def new_body(self) -> Body:
        """Return an empty body, to be filled and passed to `add` of this store, or discarded."""
        ...

    def add(self, message: Message, body: Body) -> Receipt:
        """Store `message` once for each idempotency key; atomic, and durable on return.

        A delivery to each of its endpoints is made with it, due at once; of a repeat none is made.

        The store owns the body from then on, even after a failure. Raises StorageUnavailable, and
        then the message is not visible.
        """
        ...

    def get(self, message_id: str) -> StoredMessage:
        """Return one message; raises MessageNotFound, StorageUnavailable."""
        ...

    def ids_with_prefix(self, prefix: str, limit: int) -> list[str]:
        """Return the first `limit` ids that begin with `prefix`; raises StorageUnavailable."""
        ...

    def read(self, message_id: str) -> bytes:
        """Return exactly the bytes that were stored.

        Raises MessageNotFound, MessageCorrupt when the checksum doesn't match, and
        StorageUnavailable.
        """
        ...

    def find(self, message_id: str) -> tuple[StoredMessage, Callable[[], bytes]]:
        """Return what `get` does, and a function that returns and raises what `read` does.

        That costs one look-up for both.
        """
        ...

    def remove(self, message_ids: Sequence[str], reason: Reason) -> list[str]:
        """Delete messages for good, and return the ids of those that were there; durable on return.

        They are not visible any more, and never come back; repeats of them are still recognized.
        For Reason.RETENTION, messages with pending or dead deliveries stay.
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

    def retention_turn(self) -> AbstractContextManager[bool]:
        """Return whether this process may do retention, until the context ends.

        Of several hosts that share the store, one at a time may: two would delete the oldest twice,
        and so too much. Entering and leaving the context raises StorageUnavailable.
        """
        ...

    def note_retention(self, at: datetime, kept_for_delivery: int) -> None:
        """Note when retention last ran, and how many messages it kept for delivery.

        Raises StorageUnavailable.
        """
        ...

    def statistics(self) -> Statistics:
        """Return the figures of the store; raises StorageUnavailable."""
        ...

    def search(self, query: Query) -> Iterator[StoredMessage]:
        """Yield the matching messages, the last to arrive first unless the query says otherwise.

        Raises StorageUnavailable.
        """
        ...

    def page(self, query: Query, scan_limit: int) -> Page:
        """Return the first matching messages, at most the query's `limit`, which is required.

        If the query is a scan, at most `scan_limit` messages are examined. Raises
        StorageUnavailable.
        """
        ...

    def arrivals(self, after: int | None) -> Arrivals:
        """Return the recipients of messages whose number is greater than `after`.

        With None, return the latest number and no recipients. One call may not return all: repeat
        it with the returned number until that no longer changes. Raises StorageUnavailable.
        """
        ...

    def watch(self) -> AbstractContextManager[Callable[[], int]]:
        """Return a function whose result changes when any process stores or deletes messages.

        The function is for one thread, and cheap enough to be called ten times a second. It raises
        StorageUnavailable, as does entering the context.
        """
        ...

    def identity(self) -> bytes:
        """Return the store's id, 8 bytes that no other store has; raises StorageUnavailable.

        A message number is meaningful only together with this id.
        """
        ...

    def oldest_done(self, limit: int, after: str | None) -> list[StoredMessage]:
        """Return up to `limit` messages without pending or dead deliveries, oldest first.

        Only messages whose id is greater than `after` are returned, in the order of the times of
        receipt; numbers differ from that order after a crash. Raises StorageUnavailable.
        """
        ...

    def count_undone(self, before: datetime | None) -> int:
        """Return the number of messages with pending or dead deliveries.

        Only messages received before `before` count, or all if it is None. Raises
        StorageUnavailable.
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
