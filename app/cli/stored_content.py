"""Reads stored messages for a command; what can't be read becomes a line."""

from collections.abc import Iterable, Iterator

from app.errors import MessageCorrupt, MessageNotFound, StorageUnavailable
from app.storage.interface import MessageStore
from app.storage.message import StoredMessage
from app.storage.unreadable import why_unreadable

Content = tuple[StoredMessage, bytes]


def read_all(
    store: MessageStore, messages: Iterable[StoredMessage], faults: list[str]
) -> Iterator[Content]:
    """Yield each message with its bytes; one that can't be read adds a line to `faults` instead."""
    for message in messages:
        try:
            content = store.read(message.message_id)
        except (MessageCorrupt, StorageUnavailable) as error:
            faults.append(f"{message.message_id}: {why_unreadable(error)}")
        except MessageNotFound:
            continue  # it was removed a moment ago
        else:
            yield message, content
