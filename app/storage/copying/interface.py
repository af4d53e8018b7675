"""What the copy of one store to another needs of both, whatever their backends."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

from app.storage.body import Body
from app.storage.delivery import Attempt, Replay, State
from app.storage.interface import MessageStore
from app.storage.message import Message, StoredMessage

COPY = "copy"
"""Why a message is deleted that was deleted in the source: this isn't one of Reason."""
MOST_ADDED = 64
"""The largest number of messages that a target adds in one call."""
MOST_ASKED = 500
"""The largest number of messages or tombstones that any other call is about."""


@dataclass(frozen=True)
class Original:
    """A message as its store has it, without its bytes; `number` is its number there.

    Its `endpoints` are unknown: they follow from its deliveries.
    """

    number: int
    message: Message
    size: int
    sha256: bytes

    @classmethod
    def of(cls, stored: StoredMessage, idempotency_key: str) -> Self:
        """Return a stored message with its key."""
        message = Message(
            stored.message_id, stored.received_at, stored.envelope, stored.subject, idempotency_key
        )
        return cls(stored.number, message, stored.size, stored.sha256)


@dataclass(frozen=True)
class Tombstone:
    """What is left of a deleted message, to recognize repeats of it."""

    message_id: str
    idempotency_key: str
    received_at_ms: int
    deleted_at_ms: int


class DeliveryKey(NamedTuple):
    """What a delivery has in every store, unlike its number; no two deliveries share it."""

    message_id: str
    endpoint: str
    is_replay: bool
    created_at_ms: int


@dataclass(frozen=True)
class Progress:
    """What has become of a delivery; `tries` counts all attempts, `attempts` as in Delivery."""

    state: State
    attempts: int
    tries: int
    due_at_ms: int
    settled_at_ms: int | None
    reason: str | None


@dataclass(frozen=True)
class KeptDelivery:
    """A delivery as its store has it; `number` is its number there."""

    number: int
    key: DeliveryKey
    progress: Progress


@dataclass(frozen=True)
class DeliveryChange:
    """What a delivery becomes; `made` are its last attempts, None if they haven't changed."""

    key: DeliveryKey
    progress: Progress
    made: Sequence[Attempt] | None


@dataclass(frozen=True)
class CopiedReplay:
    """A replay, whose position is told by ids, since other stores have other numbers.

    `processed` are the ids of the last messages that it has processed, the last one first, and
    `included` those of the last messages that it is about.
    """

    replay: Replay
    processed: Sequence[str]
    included: Sequence[str]


MOST_NAMED = 100
"""The length of the lists in CopiedReplay: some of the messages may not be in the target."""


@dataclass(frozen=True)
class Found:
    """What a target has with the id of a message, or with its key; `sha256` None if deleted."""

    message_id: str
    sha256: bytes | None


@dataclass(frozen=True)
class Buried:
    """How many tombstones were new, and how many messages had to be removed for them."""

    new: int = 0
    removed: int = 0


class Source(Protocol):
    """A store to copy from, which others may write to; every method raises StorageUnavailable."""

    @property
    def store(self) -> MessageStore:
        """The store itself."""
        ...

    def originals(self, last: int) -> Iterator[Original]:
        """Yield the messages with numbers up to `last`, in the order of their arrival."""
        ...

    def tombstones(self) -> Iterator[Tombstone]:
        """Yield what is known of deleted messages; of those deleted meanwhile, perhaps not all."""
        ...

    def deliveries(self, message_ids: Sequence[str]) -> list[KeptDelivery]:
        """Return the deliveries of messages in the order in which they were created."""
        ...

    def attempts(self, numbers: Sequence[int]) -> Mapping[int, Sequence[Attempt]]:
        """Return the last attempts of deliveries, oldest first, by the numbers of these."""
        ...

    def replays(self) -> list[CopiedReplay]:
        """Return the replays that aren't complete, oldest first."""
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...


class Target(Protocol):
    """A store to copy to, which nobody else writes to; every method raises StorageUnavailable."""

    @property
    def store(self) -> MessageStore:
        """The store itself."""
        ...

    def find(self, originals: Sequence[Original]) -> Mapping[str, Found]:
        """Return what is there of messages already, by their ids."""
        ...

    def add(self, messages: Sequence[tuple[Message, Body]]) -> None:
        """Store messages that aren't there, with their deliveries; durable on return.

        Their numbers ascend. The bodies are from `new_body` of the store, which owns them then.
        """
        ...

    def checksums(self, message_ids: Sequence[str]) -> Mapping[str, bytes]:
        """Return the SHA-256 of the bytes that are stored now, by the ids of their messages.

        They are read for it. What is damaged may be left out.
        """
        ...

    def bury(self, tombstones: Sequence[Tombstone]) -> Buried:
        """Keep tombstones, and remove the messages that they are of; durable on return.

        One whose key another message has is left out: that one recognizes the repeats.
        """
        ...

    def deliveries(self, message_ids: Sequence[str]) -> list[KeptDelivery]:
        """See Source.deliveries."""
        ...

    def change_deliveries(self, changes: Sequence[DeliveryChange]) -> None:
        """Create or change deliveries of messages that are there; none is claimed afterwards."""
        ...

    def replace_replays(self, replays: Sequence[CopiedReplay]) -> None:
        """Replace all replays."""
        ...

    def finish(self) -> None:
        """Make everything durable, and erase what removed messages have left."""
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...
