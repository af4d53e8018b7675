"""Chooses the store that the settings name, for the server and the command line alike."""

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from app.errors import StorageUnavailable
from app.settings import Storage
from app.storage.interface import MessageStore, StoreRecorder
from app.storage.segments.sweep import LEFTOVERS, Leftover, kept_leftovers
from app.storage.sqlite import store as sqlite

_MOST_NAMES = 10

_log = logging.getLogger("gomail")


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
    with closing(sqlite.create_store(data_dir)) as store:
        _tell_leftovers(store.sweep(), data_dir)
        _tell_missing(store.missing_segments())
    # A full disk may get room while the server runs; wrong permissions won't fix themselves.
    if not all(os.access(path, os.W_OK | os.X_OK) for path in (data_dir, data_dir / "segments")):
        raise StorageUnavailable("This user can't write to it, or to segments/ in it")


def leftovers(settings: Storage) -> list[Leftover]:
    """Return what earlier starts have kept of bytes without a row; raises OSError."""
    return kept_leftovers(settings.data_dir / "segments")


def _tell_leftovers(found: Sequence[Leftover], data_dir: Path) -> None:
    removed = sum(each.size for each in found if each.kept_as is None)
    if removed:
        _log.info("A crash left %d bytes that were never acknowledged; they are removed", removed)
    kept = [each.size for each in found if each.kept_as is not None]
    if kept:
        _log.warning(
            "%d bytes in segments/ belong to no message in gomail.db, and may have been"
            " acknowledged: they are kept in %s (%d files)",
            sum(kept),
            data_dir / "segments" / LEFTOVERS,
            len(kept),
        )


def _tell_missing(segments: Mapping[str, int]) -> None:
    if segments:
        _log.warning(
            "%d messages can't be read, since their segments are missing: %s%s;"
            " `flask gomail messages verify` names the messages",
            sum(segments.values()),
            ", ".join(sorted(segments)[:_MOST_NAMES]),
            "" if len(segments) <= _MOST_NAMES else f" and {len(segments) - _MOST_NAMES} more",
        )
