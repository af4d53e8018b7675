"""Prepares the store at a start, and takes over from processes that have ended."""

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from app.errors import StorageUnavailable
from app.settings import Storage
from app.storage.segments import damage
from app.storage.segments.directory import Segments
from app.storage.segments.ended_segments import PassedOver
from app.storage.segments.leftovers import Leftover, kept_leftovers
from app.storage.sqlite import creation
from app.storage.sqlite.completion import Completed
from app.storage.sqlite.completion_log import log_completed
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.failures import failures_as_unavailable
from app.storage.sqlite.rebuilding import has_database
from app.storage.sqlite.store import SQLiteStore

_MOST_NAMES = 10

_log = logging.getLogger("gomail")


def complete_store(settings: Storage) -> None:
    """Index what a process that has ended had stored, and remove what it was still receiving.

    Raises StorageUnavailable. Safe while others serve from the same store. A database has nothing
    of that kind.
    """
    if settings.database_url is not None:
        return
    with closing(SQLiteStore(settings.data_dir)) as store:
        log_completed(store.complete(), settings.data_dir)


def prepare_store(settings: Storage) -> None:
    """Prepare the store, once per start: create tables, complete the index, finish erasing.

    Raises StorageUnavailable, also when it could be read but not written.
    """
    if settings.database_url is not None:
        # Imported here, since commands that read files would take twice as long to start.
        from app.storage.postgresql.preparation import prepare  # noqa: PLC0415

        prepare(settings)
        return
    data_dir = settings.data_dir
    with closing(create_store(data_dir)) as store:
        _check_permissions(data_dir)
        log_completed(store.complete(), data_dir)
        _finish_erasing(store)
        _log_missing(store.missing_segments())


def reindex(settings: Storage, progress: Callable[[int], None]) -> Completed:
    """Make the index anew from the segments; raises StorageUnavailable, also if it is in use.

    `progress` is told how many bytes were read since it was called last.
    """
    completed = creation.reindex(settings.data_dir, progress)
    log_completed(completed, settings.data_dir)
    return completed


def _finish_erasing(store: SQLiteStore) -> None:
    try:
        store.erase()
    except StorageUnavailable as error:
        if not isinstance(error.__cause__, TimeoutError):
            raise
        # A reader, an export for instance, is no reason not to start.
        _log.warning("Deleted messages can't be erased yet: %s", error.__cause__)


def _check_permissions(data_dir: Path) -> None:
    # A full disk may get room while the server runs; wrong permissions won't fix themselves.
    if not all(os.access(path, os.W_OK | os.X_OK) for path in (data_dir, data_dir / "segments")):
        raise StorageUnavailable("This user can't write to it, or to segments/ in it")


def leftovers(settings: Storage) -> list[Leftover]:
    """Return what earlier starts have kept of bytes without a record; raises OSError."""
    if settings.database_url is not None:
        return []
    return kept_leftovers(settings.data_dir / "segments")


def has_index(settings: Storage) -> bool:
    """Return whether there is a database; raises StorageUnavailable."""
    if settings.database_url is not None:
        return True
    with failures_as_unavailable():
        return has_database(settings.data_dir)


def segments(settings: Storage) -> list[Path]:
    """Return the files with the records of messages and deletions; raises OSError."""
    directory = settings.data_dir / "segments"
    has_segments = settings.database_url is None and directory.is_dir()
    return Segments(directory).paths() if has_segments else []


def damaged_parts(segment: Path) -> list[PassedOver]:
    """Return where a segment has bytes that are no record; raises OSError."""
    return damage.damaged_parts(segment)


def _log_missing(segments: Mapping[str, int]) -> None:
    if segments:
        _log.warning(
            "%d messages can't be read, since their segments are missing: %s%s;"
            " `flask gomail messages verify` names the messages",
            sum(segments.values()),
            ", ".join(sorted(segments)[:_MOST_NAMES]),
            "" if len(segments) <= _MOST_NAMES else f" and {len(segments) - _MOST_NAMES} more",
        )
