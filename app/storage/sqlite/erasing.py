"""Erases what deleted messages have left in the segments, in the database and in its log."""

import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection, delete, select, tuple_

from app.state.lock_file import locked
from app.storage.segments.directory import Segments
from app.storage.segments.spent import remove_if_spent
from app.storage.sqlite.compaction import Compaction
from app.storage.sqlite.connections import Connections
from app.storage.sqlite.counters import change, set_to, value_of
from app.storage.sqlite.database import BUSY_TIMEOUT_SECONDS
from app.storage.sqlite.generation import begin_generation, note_generation
from app.storage.sqlite.page_gaps import PageGaps
from app.storage.sqlite.removal import LOG_HAS_DELETED
from app.storage.sqlite.rows import SEGMENTS_SQL
from app.storage.sqlite.tables import deleted, deletion_segments, erasures

_AT_ONCE = 500
_FORGOTTEN = 500
_PAGES_AT_ONCE = 256  # takes a few milliseconds
_SHORT_PAUSE_SECONDS = 0.02
LOG_WAIT_SECONDS = 10  # for readers
_PAUSE_SECONDS = 0.1


class Erasing:
    """Erases for one process; safe beside others that write, delete and erase."""

    def __init__(
        self, connections: Connections, segments: Segments, lock_file: Path, generation_file: Path
    ) -> None:
        """`generation_file` is that of app.storage.sqlite.generation."""
        self._engine = connections.usual
        self._impatient = connections.impatient.execution_options(isolation_level="AUTOCOMMIT")
        self._gaps = PageGaps(connections.file)
        self._segments = segments
        self._lock_file = lock_file
        self._generation_file = generation_file
        self._compaction = Compaction(self._engine, segments.directory, lock_file)
        self._one_at_a_time = threading.Lock()

    def erase_segments(self) -> None:
        """Erase what is noted for it in the segments only; raises OSError, SQLAlchemyError."""
        with self._one_at_a_time:
            while self._erase_some():
                time.sleep(_SHORT_PAUSE_SECONDS)  # others wait for the lock, and for the disk

    def erase(self) -> None:
        """See MessageStore.erase; raises OSError, SQLAlchemyError."""
        self.erase_segments()
        with self._one_at_a_time:
            self._clean_database_if_due()

    def forget(self, before_ms: int) -> None:
        """See MessageStore.forget_deleted; raises OSError, SQLAlchemyError.

        With the last that was deleted or is known of it, a segment goes too.
        """
        self._compaction.let_originals_go()
        self.erase_segments()  # a record that is still there would be taken for a message
        while self._forget_some(before_ms):
            time.sleep(_SHORT_PAUSE_SECONDS)  # others wait for the lock
        self._remove_spent(before_ms)
        self._compaction.copy_living()

    def _forget_some(self, before_ms: int) -> bool:
        old = select(deleted.c.id).where(deleted.c.deleted_at_ms < before_ms).limit(_FORGOTTEN)
        with locked(self._lock_file, BUSY_TIMEOUT_SECONDS), self._engine.begin() as connection:
            done = connection.execute(delete(deleted).where(deleted.c.id.in_(old)))
            return done.rowcount == _FORGOTTEN

    def _erase_some(self) -> bool:
        with self._engine.connect() as connection:
            rows = connection.execute(select(erasures).limit(_AT_ONCE)).all()
        if not rows:
            return False
        ranges = defaultdict(list)
        for row in rows:
            ranges[row.segment].append((row.start, row.end))
        for segment, of_segment in ranges.items():
            self._segments.erase(segment, of_segment)
        key = tuple_(erasures.c.segment, erasures.c.start, erasures.c.end)
        done = [tuple(row) for row in rows]
        with locked(self._lock_file, BUSY_TIMEOUT_SECONDS), self._engine.begin() as connection:
            connection.execute(delete(erasures).where(key.in_(done)))
        return True

    def _clean_database_if_due(self) -> None:
        with self._engine.connect() as connection:
            is_due = value_of(connection, LOG_HAS_DELETED)
        if is_due:
            self._clean_database()

    def _clean_database(self) -> None:
        """Leave nothing of rows that were deleted before this call."""
        own = secrets.randbelow(2**62) + 2
        with locked(self._lock_file, BUSY_TIMEOUT_SECONDS), self._engine.begin() as connection:
            set_to(connection, LOG_HAS_DELETED, own)
        self._empty_log()  # then gaps can be found in the database
        pages = self._gaps.pages_to_clear()
        for at in range(0, len(pages), _PAGES_AT_ONCE):
            self._empty_log(pages[at : at + _PAGES_AT_ONCE])
            self._gaps.sync()  # not while others wait for the lock
            time.sleep(_SHORT_PAUSE_SECONDS)
        # A kill before repeats all this. So does what others have deleted or begun since.
        with locked(self._lock_file, BUSY_TIMEOUT_SECONDS), self._engine.begin() as connection:
            change(connection, LOG_HAS_DELETED, own, 0)

    def _empty_log(self, pages: Sequence[int] = ()) -> None:
        """Leave nothing in the write-ahead log; all of it is durable then.

        Before others write to it again, clear the gaps of pages.
        """
        with self._impatient.connect() as connection, self._engine.connect() as last:
            deadline = time.monotonic() + LOG_WAIT_SECONDS
            while time.monotonic() < deadline:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")  # most of it unlocked
                with locked(self._lock_file, BUSY_TIMEOUT_SECONDS):
                    generation = begin_generation(connection)
                    row = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
                    if not row.busy:
                        note_generation(self._generation_file, generation)
                        if not pages or self._clear_gaps(connection, last, pages, generation):
                            return
                time.sleep(_PAUSE_SECONDS)
        raise TimeoutError("something reads the database all the time")

    def _clear_gaps(
        self, connection: Connection, last: Connection, pages: Sequence[int], generation: int
    ) -> bool:
        """Return False when the log isn't empty any more.

        A connection may have read a page before, and would write it again with its gap. So there
        is a commit: before a connection reads or writes the next time, it forgets all pages if any
        other one has committed, and one that is reading can't begin to write. The connection that
        commits must have forgotten its own: `last` hasn't read anything since `connection` has
        committed the generation.
        """
        with last.begin():
            # Not everybody takes the lock file's lock: a migration doesn't, nor does a shell.
            last.exec_driver_sql("BEGIN IMMEDIATE")
            if connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").one().log:
                return False
            self._gaps.clear(pages, generation)
            begin_generation(last)
        return True

    def _remove_spent(self, before_ms: int) -> None:
        with self._engine.connect() as connection:
            if connection.execute(select(erasures).limit(1)).first():
                return
            in_use = {row.segment for row in connection.exec_driver_sql(SEGMENTS_SQL)}
        unused = [path for path in self._segments.all_paths() if path.name not in in_use]
        if not unused:
            return
        self._empty_log()  # what a power cut took from the index would be missed in the segments
        for path in unused:
            if remove_if_spent(path, before_ms):
                with (
                    locked(self._lock_file, BUSY_TIMEOUT_SECONDS),
                    self._engine.begin() as connection,
                ):
                    is_it = deletion_segments.c.segment == path.name
                    connection.execute(delete(deletion_segments).where(is_it))
