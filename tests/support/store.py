"""Messages for a store without the way in, and what is in its files."""

from datetime import UTC, datetime
from pathlib import Path

from app.settings import Storage
from app.storage.ids import new_message_id
from app.storage.interface import MessageStore, Query
from app.storage.message import Envelope, Message
from app.storage.preparation import prepare_store
from app.storage.sqlite.store import SQLiteStore

AT = datetime(2026, 3, 1, tzinfo=UTC)


def add(
    store: MessageStore,
    raw: bytes,
    key: str = "key",
    sender: str = "a@b",
    subject: str = "",
    *,
    endpoints: tuple[str, ...] = (),
) -> str:
    """Store `raw` and return its id."""
    message = Message(new_message_id(AT), AT, Envelope(sender, "c@d"), subject, key, endpoints)
    body = store.new_body()
    for start in range(0, len(raw), 65536):
        body.write(raw[start : start + 65536])
    return store.add(message, body).message_id


def start(data_dir: Path) -> SQLiteStore:
    """Return the store after what the start of a server does with it."""
    prepare_store(Storage(data_dir))
    return SQLiteStore(data_dir)


def stored(store: MessageStore) -> dict[str, bytes]:
    """Return the bytes of each stored message by its id."""
    return {each.message_id: store.read(each.message_id) for each in store.search(Query())}


def files_with(data_dir: Path, word: bytes) -> list[str]:
    """Return the names of the files that have `word` in them."""
    paths = [path for path in data_dir.rglob("*") if path.is_file()]
    return sorted(path.name for path in paths if word in path.read_bytes())


def records(data_dir: Path) -> list[Path]:
    """Return the segments, without those of version 0.1."""
    return sorted((data_dir / "segments").glob("*.records"))
