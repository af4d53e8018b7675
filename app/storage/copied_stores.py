"""Opens the two stores of a copy."""

from app.errors import StorageUnavailable
from app.settings import Storage
from app.storage.copying.interface import Source, Target
from app.storage.postgresql.copy_source import PostgreSQLSource
from app.storage.postgresql.copy_target import PostgreSQLTarget
from app.storage.preparation import prepare_store
from app.storage.sqlite.copy_source import SQLiteSource
from app.storage.sqlite.copy_target import SQLiteTarget
from app.storage.sqlite.failures import failures_as_unavailable
from app.storage.sqlite.in_use import is_in_use

_IN_USE = "The target is in use: a server may only be started there after the last run"
_IS_SAME = "The target is the store itself, or was made as a copy of its files"


def open_source(settings: Storage) -> Source:
    """Return the store of `settings`, which others may use; raises StorageUnavailable."""
    if settings.database_url is not None:
        return PostgreSQLSource(settings)
    prepare_store(settings)  # its index may lack what a crash took of it
    return SQLiteSource(settings.data_dir)


def open_target(settings: Storage, source: Source) -> Target:
    """Return the store of `settings`, created if there is none; raises StorageUnavailable.

    It is refused if it is the source, or if others use it, as far as that can be told.
    """
    target = _target(settings)
    try:
        is_same = target.store.identity() == source.store.identity()
    except StorageUnavailable:
        target.close()
        raise
    if is_same:
        target.close()
        raise StorageUnavailable(_IS_SAME)
    return target


def _target(settings: Storage) -> Target:
    if settings.database_url is not None:
        prepare_store(settings)
        return PostgreSQLTarget(settings)
    with failures_as_unavailable():
        if settings.data_dir.is_dir() and is_in_use(settings.data_dir):
            raise StorageUnavailable(_IN_USE)
    prepare_store(settings)
    return SQLiteTarget(settings.data_dir)
