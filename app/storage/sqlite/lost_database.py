"""Detects a lost database before SQLite opens it and destroys the remains while repairing it.

Next to a missing or empty database SQLite deletes the log; into a file of another kind it writes
the log's pages.
"""

from pathlib import Path

from app.errors import StorageUnavailable
from app.storage.segments.directory import Segments

_MAGIC = b"SQLite format 3\0"


def refuse_lost_database(data_dir: Path) -> None:
    """Raise StorageUnavailable when there is mail, but no database; raises OSError."""
    database = data_dir / "gomail.db"
    if not _size(database):
        has_log = _size(data_dir / "gomail.db-wal") > 0
        if has_log or not Segments(data_dir / "segments").is_empty():
            raise StorageUnavailable(
                "There are messages in segments/ or gomail.db-wal, but gomail.db has no table of"
                " them: restore it with its -wal file, or move all of them away to start empty"
            )
        if database.is_symlink():
            raise StorageUnavailable("gomail.db is a broken link: remove it")
        return
    with database.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise StorageUnavailable(
                "gomail.db is not a database: restore it with its -wal file, or move it and"
                " segments/ away to start empty"
            )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
