"""Prepares the store at a start, and cleans up after processes that have ended."""

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from app.errors import StorageUnavailable
from app.settings import Storage
from app.storage.segments.sweep import LEFTOVERS, Leftover, kept_leftovers
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore

_MOST_NAMES = 10

_log = logging.getLogger("gomail")


def sweep_store(settings: Storage) -> None:
    """Remove what a process that has ended was still receiving; raises StorageUnavailable.

    Safe while others serve from the same store.
    """
    with closing(SQLiteStore(settings.data_dir)) as store:
        _log_leftovers(store.sweep(), settings.data_dir)


def prepare_store(settings: Storage) -> None:
    """Prepare the store, once per start: create tables, and clean up after a crash.

    Raises StorageUnavailable, also when it could be read but not written.
    """
    data_dir = settings.data_dir
    with closing(create_store(data_dir)) as store:
        _check_permissions(data_dir)
        _log_leftovers(store.sweep(), data_dir)
        _log_missing(store.missing_segments())


def _check_permissions(data_dir: Path) -> None:
    # A full disk may get room while the server runs; wrong permissions won't fix themselves.
    if not all(os.access(path, os.W_OK | os.X_OK) for path in (data_dir, data_dir / "segments")):
        raise StorageUnavailable("This user can't write to it, or to segments/ in it")


def leftovers(settings: Storage) -> list[Leftover]:
    """Return what earlier starts have kept of bytes without a row; raises OSError."""
    return kept_leftovers(settings.data_dir / "segments")


def _log_leftovers(found: Sequence[Leftover], data_dir: Path) -> None:
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


def _log_missing(segments: Mapping[str, int]) -> None:
    if segments:
        _log.warning(
            "%d messages can't be read, since their segments are missing: %s%s;"
            " `flask gomail messages verify` names the messages",
            sum(segments.values()),
            ", ".join(sorted(segments)[:_MOST_NAMES]),
            "" if len(segments) <= _MOST_NAMES else f" and {len(segments) - _MOST_NAMES} more",
        )
