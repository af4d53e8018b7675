"""Whether gomail.db has every row that was ever committed.

Each commit writes the id of its last message into the lock file, without a sync, while it still
holds the lock. After a crash the id may be an older one, but never one whose row isn't durable. So
when the row is missing, the database is older than the segments: somebody has put back a copy, or
the end of its log is lost.
"""

import re

from sqlalchemy import Engine, select

from app.errors import StorageUnavailable
from app.state.lock_file import LockFile
from app.storage.sqlite.tables import messages

_MESSAGE_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_known_to_be_current(engine: Engine, lock: LockFile) -> bool:
    """Return False when nothing tells which commit was the last.

    The caller holds the lock. Raises StorageUnavailable when the database is older than the
    segments; OSError, SQLAlchemyError.
    """
    last = lock.read()
    if not _MESSAGE_ID.fullmatch(last):
        return False
    with engine.connect() as connection:
        if connection.execute(select(messages.c.id).where(messages.c.id == last)).first():
            return True
    raise StorageUnavailable(
        f"gomail.db is older than segments/, it lacks message {last}: put back the newer gomail.db"
        " with its -wal file; to start without the messages it lacks, remove commit.lock, and what"
        " segments/ has of them is kept in segments/leftovers/"
    )


def forget(engine: Engine, lock: LockFile, message_id: str) -> None:
    """Before a row is removed: let another one be the last; the caller holds the lock."""
    if lock.read() != message_id:
        return
    others = select(messages.c.id).where(messages.c.id != message_id)
    with engine.connect() as connection:
        newest = connection.execute(others.order_by(messages.c.id.desc()).limit(1)).scalar()
    lock.write(newest or "")
