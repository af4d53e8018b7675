"""Creates the store in a data directory, or makes its database anew when it was lost."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from app.errors import StorageUnavailable
from app.state.lock_file import locked
from app.state.small_files import sweep_unfinished, sync_directory
from app.storage.segments.directory import Segments
from app.storage.sqlite.completion import Completed
from app.storage.sqlite.completion_log import log_completed
from app.storage.sqlite.deliveries.pauses import pauses_file
from app.storage.sqlite.deliveries.settlements import SETTLEMENTS
from app.storage.sqlite.failures import failures_as_unavailable
from app.storage.sqlite.in_use import is_in_use
from app.storage.sqlite.rebuilding import (
    has_database,
    rebuild,
    remove_unfinished,
    why_unusable,
)
from app.storage.sqlite.store import SQLiteStore
from app.storage.sqlite.store_id import store_id, store_id_file

LOOKS = 5
SECONDS_BETWEEN_LOOKS = 0.1

_log = logging.getLogger("gomail")


def has_store(data_dir: Path) -> bool:
    """Return whether a store was created in `data_dir`, also if it has lost its database.

    Raises StorageUnavailable.
    """
    with failures_as_unavailable():
        segments = data_dir / "segments"
        return has_database(data_dir) or (segments.is_dir() and any(Segments(segments).all_paths()))


def create_store(data_dir: Path) -> SQLiteStore:
    """Return the store in `data_dir`, creating missing directories (0700) and tables.

    A database that was lost, is damaged or a copy is made anew from the segments. Raises
    StorageUnavailable.
    """
    with failures_as_unavailable():
        for directory in [
            *reversed(data_dir.parents),
            data_dir,
            data_dir / "segments",
            data_dir / SETTLEMENTS,
        ]:
            _make_directory(directory)
        with locked(data_dir / "migrate.lock"):  # several servers may start at the same moment
            reason = _why_due(data_dir)
            if reason is not None:
                _log.warning("gomail.db %s: it is made anew from segments/", reason)
                log_completed(rebuild(data_dir), data_dir)
            elif not has_database(data_dir):
                rebuild(data_dir)
            else:
                remove_unfinished(data_dir)
        for path in (store_id_file(data_dir), pauses_file(data_dir / SETTLEMENTS)):
            sweep_unfinished(path)
        # Created here, since a command run by root would leave a file that the server can't read.
        # Mail can be received without it, so a full disk or a damaged file doesn't prevent a start.
        with suppress(OSError, StorageUnavailable):
            store_id(data_dir)
    return SQLiteStore(data_dir)


def _why_due(data_dir: Path) -> str | None:
    """Return why the database has to be made anew; raises OSError, SQLAlchemyError."""
    reason = why_unusable(data_dir)
    for _ in range(LOOKS - 1):
        # What another process is writing may look like damage for a moment, and a start beside it
        # would be refused.
        if reason is None or not is_in_use(data_dir):
            break
        time.sleep(SECONDS_BETWEEN_LOOKS)
        reason = why_unusable(data_dir)
    return reason


def reindex(data_dir: Path, progress: Callable[[int], None]) -> Completed:
    """Make the database of a store anew from its segments; see app.storage.sqlite.rebuilding."""
    with failures_as_unavailable(), locked(data_dir / "migrate.lock"):
        return rebuild(data_dir, progress)


def _make_directory(directory: Path) -> None:
    if not directory.exists():
        directory.mkdir(mode=0o700, exist_ok=True)
        sync_directory(directory.parent)
