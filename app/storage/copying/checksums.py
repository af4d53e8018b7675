"""Takes the checksums of what a store has stored."""

import hashlib
from collections.abc import Iterable, Mapping

from app.errors import MessageCorrupt
from app.storage.interface import MessageStore


def read_checksums(store: MessageStore, message_ids: Iterable[str]) -> Mapping[str, bytes]:
    """Return the SHA-256 of the bytes of messages by their ids, without those that are damaged.

    Raises MessageNotFound, StorageUnavailable.
    """
    found = {}
    for message_id in message_ids:
        try:
            found[message_id] = hashlib.sha256(store.read(message_id)).digest()
        except MessageCorrupt:
            continue
    return found
