"""Moves committed rows from the write-ahead log into the database, in the background.

SQLite would do this in whichever commit makes the log too long, and one request would wait for it.
A passive checkpoint doesn't stop writers, but while they write, the log is never restarted and
grows. So when it has become long, writers wait for a moment while the rest of it is moved.

Only one process does this within EVERY_SECONDS, however many share the database: while a reader
holds the log, each attempt makes all writers wait, and none succeeds. The last attempt's time is
that of a lock file.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app.state.lock_file import LockFile, locked
from app.storage.sqlite.database import BUSY_TIMEOUT_SECONDS
from app.storage.sqlite.generation import begin_generation, note_generation

EVERY_SECONDS = 1.0
LONG_LOG_PAGES = 4096  # 16 MiB

_log = logging.getLogger(__name__)


class Checkpoints:
    """A thread of this process, which the first commit starts."""

    def __init__(
        self,
        engine: Engine,
        lock_file: Path,
        turn_file: Path,
        generation_file: Path,
        clock: Callable[[], float] = time.time,  # the clock of file times
    ) -> None:
        """Locking `lock_file` keeps other writers out; `engine` must not wait long for readers.

        `turn_file` is the same for all processes that share the database; `generation_file` is
        that of app.storage.sqlite.generation.
        """
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._lock_file = lock_file
        self._turn = LockFile(turn_file)
        self._generation_file = generation_file
        self._clock = clock
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
        self._turn.close()

    def _run(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            self._something_committed.wait()
            self._something_committed.clear()
            try:
                is_done = self._checkpoint_in_turn()
            except (OSError, SQLAlchemyError) as error:  # a client learns of it at the next commit
                self._engine.dispose()  # as in app.storage.sqlite.writer
                self._turn.close()
                self._warn(error)
            else:
                self._is_failing = False
                if not is_done:  # what was committed since the other one's may remain
                    self._something_committed.set()

    def _checkpoint_in_turn(self) -> bool:
        """Return False when another process does it now, or has just done it."""
        with self._turn.held_if_free() as descriptor:
            if descriptor is None or not self._is_due(os.fstat(descriptor)):
                return False
            now = self._clock()
            os.utime(descriptor, (now, now))
            self._checkpoint()
            return True

    def _is_due(self, last: os.stat_result) -> bool:
        # If the clock was set back, the file is from the future: that must not stop everyone.
        return not 0 <= self._clock() - last.st_mtime < EVERY_SECONDS

    def _checkpoint(self) -> None:
        with self._engine.connect() as connection:
            with locked(self._lock_file, BUSY_TIMEOUT_SECONDS):
                generation = begin_generation(connection)
            row = connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").one()
            is_complete = row.log == row.checkpointed
            if row.log > LONG_LOG_PAGES:
                with locked(self._lock_file, BUSY_TIMEOUT_SECONDS):
                    row = connection.exec_driver_sql("PRAGMA wal_checkpoint(RESTART)").one()
                    is_complete = is_complete or not row.busy
            if is_complete:
                note_generation(self._generation_file, generation)

    def _warn(self, error: Exception) -> None:
        # Only once until it works again: while the disk is full it fails every second.
        if not self._is_failing:
            self._is_failing = True
            _log.warning("The write-ahead log can't be emptied: %s", _reason(error))


def _reason(error: Exception) -> str:
    return str(getattr(error, "orig", error))
