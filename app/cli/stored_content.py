"""Reads stored messages for a command; what can't be read becomes a line."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from app.errors import MessageCorrupt, MessageNotFound, StorageUnavailable
from app.storage.interface import MessageStore
from app.storage.message import StoredMessage

Content = tuple[StoredMessage, bytes]


def read_all(
    store: MessageStore, messages: Iterable[StoredMessage], faults: list[str]
) -> Iterator[Content]:
    """Yield each message with its bytes; one that can't be read adds a line to `faults` instead."""
    for message in messages:
        try:
            content = store.read(message.message_id)
        except MessageCorrupt:
            faults.append(f"{message.message_id}: damaged: the bytes don't match their checksum")
        except StorageUnavailable as error:
            faults.append(f"{message.message_id}: {_reason(error)}")
        except MessageNotFound:
            continue  # it was removed a moment ago
        else:
            yield message, content


def _reason(error: StorageUnavailable) -> str:
    cause = error.__cause__
    if isinstance(cause, FileNotFoundError):
        return f"missing: segments/{Path(cause.filename).name} isn't there"
    return f"can't be read: {getattr(cause, 'strerror', None) or cause or error}"
