"""The durable store of one host: rows in SQLite, message bytes in segment files."""

import errno
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.errors import MessageCorrupt, MessageNotFound, StorageUnavailable
from app.state.lock_file import LockFile, locked
from app.storage.body import Body
from app.storage.group_commit import GroupCommit
from app.storage.interface import Query, StoreRecorder
from app.storage.message import Message, Receipt, StoredMessage
from app.storage.segments.directory import Segments
from app.storage.segments.segment_file import Span
from app.storage.segments.spooled_body import SpooledBody
from app.storage.segments.sweep import Leftover
from app.storage.sqlite import last_commit
from app.storage.sqlite.checkpoint import Checkpoints
from app.storage.sqlite.database import (
    BUSY_TIMEOUT_SECONDS,
    connect,
)
from app.storage.sqlite.probe import WriteProbe
from app.storage.sqlite.rows import SEGMENTS_SQL, selection, stored_message
from app.storage.sqlite.tables import messages
from app.storage.sqlite.writer import Addition, Writer

_PAGE_ROWS = 100
MOST_IN_A_COMMIT = 64
PROBE_SECONDS = 2  # for those who wait to write, and write before


class SQLiteStore:
    """Messages under one data directory, which several processes may share."""

    def __init__(self, data_dir: Path, recorder: StoreRecorder | None = None) -> None:
        """Connect to a store that `create_store` has made; nothing is read or written yet.

        So a worker can start and report what is wrong even while the disk can't be written to.
        """
        self._recorder = recorder
        self._segments = Segments(data_dir / "segments")
        self._engine = connect(data_dir / "gomail.db")
        self._probing = connect(data_dir / "gomail.db", busy_timeout_seconds=1)
        self._checkpointing = connect(data_dir / "gomail.db", busy_timeout_seconds=0.05)
        self._probe = WriteProbe(data_dir / "segments", self._try_writing_rows)
        self._lock_file = data_dir / "commit.lock"
        self._writer = Writer(self._engine, self._segments, self._lock_file)
        self._checkpoints = Checkpoints(
            self._checkpointing, self._lock_file, data_dir / "checkpoint.lock"
        )
        self._group = GroupCommit(self._commit, MOST_IN_A_COMMIT)

    def new_body(self) -> Body:
        """See MessageStore.new_body."""
        return SpooledBody(self._segments.open_file)

    def add(self, message: Message, body: Body) -> Receipt:
        """See MessageStore.add."""
        spooled = cast(SpooledBody, body)  # from new_body
        addition = Addition(message, spooled)
        try:
            with failures_as_unavailable():
                if spooled.segment is not None:
                    spooled.segment.sync()
            self._group.add(addition)
            return _receipt_of(addition)
        except StorageUnavailable:
            if self._recorder:
                self._recorder.failed_add()
            raise
        finally:
            body.discard()

    def get(self, message_id: str) -> StoredMessage:
        """See MessageStore.get."""
        return stored_message(self._row(message_id))

    def read(self, message_id: str) -> bytes:
        """See MessageStore.read."""
        row = self._row(message_id)
        with failures_as_unavailable():
            raw = self._segments.read(Span(row.segment, row.segment_offset, row.size))
        if hashlib.sha256(raw).digest() != row.sha256:
            raise MessageCorrupt(f"The stored bytes of message {message_id} are damaged.")
        return raw

    def remove(self, message_id: str) -> None:
        """See MessageStore.remove."""
        statement = delete(messages).where(messages.c.id == message_id)
        with failures_as_unavailable(), self._committing() as lock:
            last_commit.forget(self._engine, lock, message_id)
            with self._engine.begin() as connection:
                removed = connection.execute(statement).rowcount
        if not removed:
            raise _not_found(message_id)

    def search(self, query: Query) -> Iterator[StoredMessage]:
        """See MessageStore.search."""
        statement, remaining = selection(query), query.limit
        while remaining is None or remaining > 0:
            page_rows = _PAGE_ROWS if remaining is None else min(remaining, _PAGE_ROWS)
            with failures_as_unavailable(), self._engine.connect() as connection:
                page = connection.execute(statement.limit(page_rows)).all()
            yield from map(stored_message, page)
            if len(page) < page_rows:
                return
            remaining = None if remaining is None else remaining - page_rows
            statement = selection(query, after=page[-1].id)

    def count(self, query: Query) -> int:
        """See MessageStore.count."""
        matching = selection(query).limit(query.limit).order_by(None).subquery()
        with failures_as_unavailable(), self._engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(matching)).scalar_one()

    def check(self) -> None:
        """See MessageStore.check."""
        try:
            with failures_as_unavailable():
                self._probe.check()
        except StorageUnavailable:
            if self._recorder:
                self._recorder.check(succeeded=False)
            raise
        if self._recorder:
            self._recorder.check(succeeded=True)

    def sweep(self) -> list[Leftover]:
        """Remove bytes without a row, which a crash leaves behind, and return what was found.

        Keeps them where they may be acknowledged mail. Raises StorageUnavailable, also when the
        database lacks rows. Safe while other processes serve from the same directory.
        """
        with failures_as_unavailable():
            with self._committing() as lock:
                is_current = last_commit.is_known_to_be_current(self._engine, lock)
            return self._segments.sweep(self._end_of_rows, keep=not is_current)

    def missing_segments(self) -> dict[str, int]:
        """Return how many messages each segment had that isn't there; raises StorageUnavailable."""
        with failures_as_unavailable(), self._engine.connect() as connection:
            names = connection.exec_driver_sql(SEGMENTS_SQL).scalars().all()
            missing = [name for name in names if not self._segments.has(name)]
            count = select(func.count()).select_from(messages)
            return {
                name: connection.execute(count.where(messages.c.segment == name)).scalar_one()
                for name in missing
            }

    def close(self) -> None:
        """See MessageStore.close."""
        self._checkpoints.close()
        self._writer.close()
        self._segments.close()
        for engine in (self._checkpointing, self._probing, self._engine):
            engine.dispose()

    @contextmanager
    def _committing(self) -> Iterator[LockFile]:
        lock = LockFile(self._lock_file, BUSY_TIMEOUT_SECONDS)
        with closing(lock), lock.held():
            yield lock

    def _try_writing_rows(self) -> None:
        with locked(self._lock_file, PROBE_SECONDS):
            pass  # another process may be writing, and will finish
        try:
            with self._probing.connect() as connection:
                connection.execute(update(messages).where(messages.c.id == "").values(size=0))
        except DBAPIError as error:
            self._probing.dispose()  # as in app.storage.sqlite.writer
            raise OSError(errno.EIO, f"the database: {error.orig}") from error

    def _commit(self, additions: Sequence[Addition]) -> None:
        self._writer.commit(additions)
        self._checkpoints.note_commit()
        taken = sum(addition.error is None for addition in additions)
        if taken and self._recorder:
            self._recorder.commit(taken)

    def _row(self, message_id: str) -> Row[Any]:
        statement = select(messages).where(messages.c.id == message_id)
        with failures_as_unavailable(), self._engine.connect() as connection:
            row = connection.execute(statement).first()
        if row is None:
            raise _not_found(message_id)
        return row

    def _end_of_rows(self, segment: str) -> int:
        end = messages.c.segment_offset + messages.c.size
        last = (messages.c.segment_offset.desc(), messages.c.size.desc())  # some are empty
        statement = select(end).where(messages.c.segment == segment).order_by(*last).limit(1)
        with self._engine.connect() as connection:
            return connection.execute(statement).scalar() or 0


def _receipt_of(addition: Addition) -> Receipt:
    if isinstance(addition.error, OSError | SQLAlchemyError):
        # The whole group shares this exception, so it isn't raised itself.
        raise StorageUnavailable from _cause(addition.error)
    if addition.error is not None:
        raise addition.error
    if addition.receipt is None:
        raise StorageUnavailable("The first copy of this message was removed in the meantime.")
    return addition.receipt


def _not_found(message_id: str) -> MessageNotFound:
    return MessageNotFound(f"No message has the id {message_id!r}.")


@contextmanager
def failures_as_unavailable() -> Iterator[None]:
    """Raise StorageUnavailable from an OSError or an error of the database."""
    try:
        yield
    except (OSError, SQLAlchemyError) as error:
        raise StorageUnavailable from _cause(error)


def _cause(error: Exception) -> BaseException | None:
    # The driver's own message is one line, without the statement and its parameters.
    return error.orig if isinstance(error, DBAPIError) else error
