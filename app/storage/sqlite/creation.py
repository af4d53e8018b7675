"""Creates the store in a data directory, and refuses one whose database was lost."""

from pathlib import Path

from sqlalchemy import Engine, inspect

from app.errors import StorageUnavailable
from app.state.lock_file import locked
from app.state.small_files import sync_directory
from app.storage.segments.directory import Segments
from app.storage.sqlite.database import connect, create_database, migrate
from app.storage.sqlite.lost_database import refuse_lost_database
from app.storage.sqlite.store import SQLiteStore, failures_as_unavailable
from app.storage.sqlite.tables import messages


def has_store(data_dir: Path) -> bool:
    """Return whether a store was created in `data_dir`; raises StorageUnavailable."""
    with failures_as_unavailable():
        return (data_dir / "gomail.db").exists()


def create_store(data_dir: Path) -> SQLiteStore:
    """Return the store in `data_dir`, creating missing directories (0700) and tables.

    Raises StorageUnavailable.
    """
    with failures_as_unavailable():
        for directory in [*reversed(data_dir.parents), data_dir, data_dir / "segments"]:
            _make_directory(directory)
        refuse_lost_database(data_dir)
        create_database(data_dir / "gomail.db")
        with locked(data_dir / "migrate.lock"):  # several servers may start at the same moment
            _migrate(data_dir)
    return SQLiteStore(data_dir)


def _migrate(data_dir: Path) -> None:
    engine = connect(data_dir / "gomail.db")
    try:
        _refuse_orphans(engine, Segments(data_dir / "segments"))
        migrate(engine)
    finally:
        engine.dispose()


def _make_directory(directory: Path) -> None:
    if not directory.exists():
        directory.mkdir(mode=0o700, exist_ok=True)
        sync_directory(directory.parent)


def _refuse_orphans(engine: Engine, segments: Segments) -> None:
    # Without its rows, a start would treat all stored mail as debris of a crash and delete it.
    if not inspect(engine).has_table(messages.name) and not segments.is_empty():
        raise StorageUnavailable(
            "There are messages in segments/, but gomail.db has no table of them: restore it with"
            " its -wal file, or move segments/ away to start empty"
        )
