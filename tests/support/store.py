"""A message for a store, without the way in."""

from datetime import UTC, datetime

from app.storage.ids import new_message_id
from app.storage.interface import MessageStore
from app.storage.message import Envelope, Message

AT = datetime(2026, 3, 1, tzinfo=UTC)


def add(store: MessageStore, raw: bytes, key: str = "key") -> str:
    """Store `raw` and return its id."""
    message = Message(new_message_id(AT), AT, Envelope("a@b", "c@d"), "", key)
    body = store.new_body()
    for start in range(0, len(raw), 65536):
        body.write(raw[start : start + 65536])
    return store.add(message, body).message_id
