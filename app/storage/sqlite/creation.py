"""Creates the store in a data directory, or makes its database anew when it was lost."""

import logging
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy.exc import DatabaseError

from app.errors import StorageUnavailable
from app.state.lock_file import locked
from app.state.small_files import sync_directory
from app.storage.sqlite.database import connect, create_database, migrate
from app.storage.sqlite.rebuilding import rebuild, why_unusable
from app.storage.sqlite.store import SQLiteStore, failures_as_unavailable

_log = logging.getLogger("gomail")


def has_store(data_dir: Path) -> bool:
    """Return whether a store was created in `data_dir`; raises StorageUnavailable."""
    with failures_as_unavailable():
        return (data_dir / "gomail.db").exists()


def create_store(data_dir: Path) -> SQLiteStore:
    """Return the store in `data_dir`, creating missing directories (0700) and tables.

    A database that was lost, is damaged or a copy is made anew from the segments. Raises
    StorageUnavailable.
    """
    with failures_as_unavailable():
        for directory in [*reversed(data_dir.parents), data_dir, data_dir / "segments"]:
            _make_directory(directory)
        with locked(data_dir / "migrate.lock"):  # several servers may start at the same moment
            reason = why_unusable(data_dir)
            if reason is not None:
                _log.warning("gomail.db %s: it is made anew from segments/", reason)
                rebuild(data_dir)
            else:
                _bring_up_to_date(data_dir)
    return SQLiteStore(data_dir)
