"""What has to be seen before SQLite opens a database: it would mend, and forget, what is left.

Beside a missing or empty database it removes the log, into foreign bytes it writes the log's pages.
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
                "There are messages in segments/ or gomail.db-wal, but no table of them in"
                " gomail.db: restore it with its -wal file, or move all of them away to start anew"
            )
        if database.is_symlink():
            raise StorageUnavailable("gomail.db is a link to nothing: remove it")
        return
    with database.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise StorageUnavailable(
                "gomail.db is no database: restore it with its -wal file, or move it and segments/"
                " away to start anew"
            )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
