"""Chooses the store that the settings name, for the server and the command line alike."""

import os

from app.errors import StorageUnavailable
from app.settings import Storage
from app.storage.interface import MessageStore, StoreRecorder
from app.storage.sqlite import store as sqlite


def open_store(settings: Storage, recorder: StoreRecorder | None = None) -> MessageStore:
    """Return the store, which `prepare_store` has created; nothing is read or written yet."""
    return sqlite.SQLiteStore(settings.data_dir, recorder)


def has_store(settings: Storage) -> bool:
    """Return whether a store was ever created there; raises StorageUnavailable."""
    return sqlite.has_store(settings.data_dir)


def sweep_store(settings: Storage) -> None:
    """Remove what a process that has ended was still receiving; raises StorageUnavailable.

    Safe while others serve from the same store.
    """
    store = sqlite.SQLiteStore(settings.data_dir)
    try:
        store.sweep()
    finally:
        store.close()


def prepare_store(settings: Storage) -> None:
    """Prepare the store, once per start: create tables, and clean up after a crash.

    Raises StorageUnavailable, also when it could be read but not written.
    """
    data_dir = settings.data_dir
    store = sqlite.create_store(data_dir)
    store.sweep()
    store.close()
    # A full disk may get room while the server runs; wrong permissions won't fix themselves.
    if not all(os.access(path, os.W_OK | os.X_OK) for path in (data_dir, data_dir / "segments")):
        raise StorageUnavailable("This user can't write to it, or to segments/ in it")
