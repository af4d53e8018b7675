"""Moves committed rows from the write-ahead log into the database, in the background.

SQLite would do this in whichever commit makes the log too long, and one request would wait for it.
A passive checkpoint doesn't stop writers, but while they write, the log is never restarted and
grows. So when it has become long, writers wait for a moment while the rest of it is moved.

Requests that are synced meanwhile wait for the disk, the longer the more there is to move: so it is
moved often. (With 160 messages a second, a request in a hundred took 8 ms or more when it was moved
every second, 4 ms when five times as often, 18 ms when every five seconds.)

One process does this at a time, and then all pause, however many share the database. While a reader
holds the log, each attempt makes all writers wait, and none succeeds: that pause is longer. The
time of a lock file tells when it ends.
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

EVERY_SECONDS = 0.2
EVERY_SECONDS_WITH_READER = 1.0  # with one that holds a long log
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
        self._starting = threading.Lock()
        self._is_failing = False

    def note_commit(self) -> None:
        """Let a checkpoint follow soon."""
        if not self._something_committed.is_set():
            self._something_committed.set()
        if not self._is_running():
            self._start()

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._something_committed.set()
        if self._thread is not None:
            self._thread.join()
        self._turn.close()

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _start(self) -> None:
        with self._starting:
            if self._is_running():  # another thread has started it
                return
            thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # commits are durable without it
                self._warn(error)
            else:
                self._thread = thread

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
            pause = EVERY_SECONDS
            try:
                if not self._checkpoint():
                    pause = EVERY_SECONDS_WITH_READER
            finally:
                due = self._clock() + pause
                os.utime(descriptor, (due, due))
            return True

    def _is_due(self, turn: os.stat_result) -> bool:
        # If the clock was set back, the pause ends in the far future: that must not stop everyone.
        return not 0 < turn.st_mtime - self._clock() <= EVERY_SECONDS_WITH_READER

    def _checkpoint(self) -> bool:
        """Return False if the log is long, and a reader keeps it from being begun anew."""
        with self._engine.connect() as connection:
            with locked(self._lock_file, BUSY_TIMEOUT_SECONDS):
                generation = begin_generation(connection)
            row = connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").one()
            # While another one is under way, both are -1.
            is_complete = not row.busy and row.log == row.checkpointed
            is_held = False
            if row.log > LONG_LOG_PAGES:
                with locked(self._lock_file, BUSY_TIMEOUT_SECONDS):
                    row = connection.exec_driver_sql("PRAGMA wal_checkpoint(RESTART)").one()
                is_held = bool(row.busy)
                is_complete = is_complete or not is_held
            if is_complete:
                note_generation(self._generation_file, generation)
            return not is_held

    def _warn(self, error: Exception) -> None:
        # Only once until it works again: while the disk is full, each attempt fails.
        if not self._is_failing:
            self._is_failing = True
            _log.warning("The write-ahead log can't be emptied: %s", _reason(error))


def _reason(error: Exception) -> str:
    return str(getattr(error, "orig", error))
