"""Which store the settings name: server and command line alike ask here."""

import os

from app.errors import StorageUnavailable
from app.settings import Storage
from app.storage.interface import MessageStore, StoreRecorder
from app.storage.sqlite import store as sqlite


def open_store(settings: Storage, recorder: StoreRecorder | None = None) -> MessageStore:
    """Return the store, which `prepare_store` has made; nothing is read or written yet."""
    return sqlite.SQLiteStore(settings.data_dir, recorder)


def has_store(settings: Storage) -> bool:
    """Tell whether a store was ever made there; raises StorageUnavailable."""
    return sqlite.has_store(settings.data_dir)


def prepare_store(settings: Storage) -> None:
    """Make the store fit for use, once at a start: tables, and a sweep of what a crash left behind.

    Raises StorageUnavailable, also when it could be read but not written.
    """
    data_dir = settings.data_dir
    store = sqlite.create_store(data_dir)
    store.sweep()
    store.close()
    # A full disk may be mended while the server waits, modes hardly are.
    if not all(os.access(path, os.W_OK | os.X_OK) for path in (data_dir, data_dir / "segments")):
        raise StorageUnavailable("It is not writable for this user, or its segments/ isn't")
