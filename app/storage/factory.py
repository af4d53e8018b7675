"""Opens the store, for the server and the command line alike."""

from app.settings import Storage
from app.storage.interface import MessageStore, StoreRecorder
from app.storage.sqlite import creation
from app.storage.sqlite.store import SQLiteStore


def open_store(settings: Storage, recorder: StoreRecorder | None = None) -> MessageStore:
    """Return the store, which `prepare_store` has created; nothing is read or written yet."""
    return SQLiteStore(settings.data_dir, recorder)


def has_store(settings: Storage) -> bool:
    """Return whether a store was ever created there; raises StorageUnavailable."""
    return creation.has_store(settings.data_dir)
