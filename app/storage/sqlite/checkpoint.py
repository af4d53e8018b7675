"""Moves committed rows from the write-ahead log into the database, in the background.

SQLite would do this in whichever commit makes the log too long, and one request would wait for it.
A passive checkpoint doesn't stop writers, but while they write, the log is never restarted and
grows. So when it has become long, writers wait for a moment while the rest of it is moved.
"""

import logging
import threading
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app.state.lock_file import locked
from app.storage.sqlite.database import BUSY_TIMEOUT_SECONDS

EVERY_SECONDS = 1.0
LONG_LOG_PAGES = 4096  # 16 MiB

_log = logging.getLogger(__name__)


class Checkpoints:
    """A thread of this process, which the first commit starts."""

    def __init__(self, engine: Engine, lock_file: Path) -> None:
        """Locking `lock_file` keeps other writers out; `engine` must not wait long for readers."""
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._lock_file = lock_file
        self._something_committed = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_failing = False

    def note_commit(self) -> None:
        """Let a checkpoint follow within EVERY_SECONDS; called by one thread at a time."""
        self._something_committed.set()
        if self._thread is None or not self._thread.is_alive():
            thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # commits are durable without it
                self._warn(error)
            else:
                self._thread = thread

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._something_committed.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            self._something_committed.wait()
            self._something_committed.clear()
            try:
                self._checkpoint()
            except (OSError, SQLAlchemyError) as error:  # a client learns of it at the next commit
                self._engine.dispose()  # as in app.storage.sqlite.writer
                self._warn(error)
            else:
                self._is_failing = False

    def _checkpoint(self) -> None:
        with self._engine.connect() as connection:
            _, pages, _ = connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").one()
            if pages > LONG_LOG_PAGES:
                with locked(self._lock_file, BUSY_TIMEOUT_SECONDS):
                    connection.exec_driver_sql("PRAGMA wal_checkpoint(RESTART)")

    def _warn(self, error: Exception) -> None:
        # Only once until it works again: while the disk is full it fails every second.
        if not self._is_failing:
            self._is_failing = True
            _log.warning("The write-ahead log can't be emptied: %s", _reason(error))


def _reason(error: Exception) -> str:
    return str(getattr(error, "orig", error))
