"""Opening the SQLite database of a data directory, and bringing its tables up to date."""

import os
from pathlib import Path
from sqlite3 import Connection as SQLiteConnection
from urllib.parse import quote

import alembic.command
from alembic.config import Config
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from app.state.small_files import sync_directory

# A writer that finds the database locked for longer answers 503 and the relay comes again.
BUSY_TIMEOUT_SECONDS = 10
LONGEST_LOG_PAGES = 16_384  # 64 MiB


def create_database(path: Path) -> None:
    """Make an empty database (0600) at `path` unless there is one; raises OSError."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    sync_directory(path.parent)


def connect(path: Path, busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS) -> Engine:
    """Return an engine on the database at `path`, which is opened at the first use, never made.

    Transactions take SQLite's write lock at their first writing statement; a commit is
    durable on return (synchronous=FULL).
    """
    engine = create_engine(
        URL.create(
            "sqlite", database=f"file:{quote(str(path))}", query={"mode": "rw", "uri": "true"}
        ),
        connect_args={"timeout": busy_timeout_seconds, "isolation_level": "IMMEDIATE"},
    )
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "connect", lambda *_: sync_directory(path.parent))
    return engine


def migrate(engine: Engine) -> None:
    """Bring the tables up to date; raises sqlalchemy.exc.SQLAlchemyError."""
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("path_separator", "os")
        config.set_main_option(
            "script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%")
        )
        alembic.command.upgrade(config, "head")


def _set_pragmas(connection: SQLiteConnection, _entry: ConnectionPoolEntry) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    # What an insert of many rows needs to undo it otherwise goes to a temporary file.
    connection.execute("PRAGMA temp_store=MEMORY")
    # Opens the -wal, whose name is made durable then: SQLite would do so at the first commit, but
    # it keeps quiet when that fails.
    connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
    # See app.storage.sqlite.checkpoint; this is for when that can't keep up, and for commands.
    connection.execute(f"PRAGMA wal_autocheckpoint={LONGEST_LOG_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit={LONGEST_LOG_PAGES * 4096}")
