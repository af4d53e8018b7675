"""Opens the store, for the server and the command line alike."""

from app.settings import Storage
from app.storage.interface import DatabaseRecorder, MessageStore
from app.storage.sqlite import creation
from app.storage.sqlite.store import SQLiteStore

# What is for PostgreSQL is imported where it is used: a command that reads files would take twice
# as long to start.


def open_store(settings: Storage, recorder: DatabaseRecorder | None = None) -> MessageStore:
    """Return the store, which `prepare_store` has created; nothing is read or written yet."""
    if settings.database_url is None:
        return SQLiteStore(settings.data_dir, recorder)
    from app.storage.postgresql.store import PostgreSQLStore  # noqa: PLC0415

    return PostgreSQLStore(settings, recorder)


def has_store(settings: Storage) -> bool:
    """Return whether a store was ever created there; raises StorageUnavailable."""
    if settings.database_url is None:
        return creation.has_store(settings.data_dir)
    from app.storage.postgresql import preparation  # noqa: PLC0415

    return preparation.has_store(settings)


def place_of(settings: Storage) -> str:
    """Return where the messages are, for people: a directory, or a database without password."""
    if settings.database_url is None:
        return str(settings.data_dir)
    from app.storage.postgresql.place import name_of  # noqa: PLC0415

    return name_of(settings.database_url)
