"""Opens the SQLite database of a data directory, and brings its tables up to date."""

import os
from pathlib import Path
from sqlite3 import Connection as SQLiteConnection
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from app.domains import comparable_address
from app.state.small_files import sync_directory

# When the database stays locked for longer, the client gets 503 and the relay tries again.
BUSY_TIMEOUT_SECONDS = 10
KEPT_CONNECTIONS = 16
"""For each engine; others are opened and closed each time, which costs an fsync."""
LONGEST_LOG_PAGES = 16_384  # 64 MiB


def create_database(path: Path) -> None:
    """Create an empty database (0600) at `path` unless there is one; raises OSError."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    sync_directory(path.parent)


def connect(path: Path, busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS) -> Engine:
    """Return an engine for the database at `path`, which is opened on first use, never created.

    Transactions take SQLite's write lock at their first writing statement. A commit isn't durable
    on return, but after a power cut the database is as some commit has left it: the segments have
    the rest.
    """
    engine = create_engine(
        URL.create(
            "sqlite", database=f"file:{quote(str(path))}", query={"mode": "rw", "uri": "true"}
        ),
        connect_args={"timeout": busy_timeout_seconds, "isolation_level": "IMMEDIATE"},
        pool_size=KEPT_CONNECTIONS,
    )
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "connect", _add_functions)
    event.listen(engine, "connect", lambda *_: sync_directory(path.parent))
    return engine


def is_damage(error: BaseException | None) -> bool:
    """Return whether the driver's exception says that the database is damaged."""
    return "malformed" in str(error) or "not a database" in str(error)


def migrate(engine: Engine) -> None:
    """Bring the tables up to date; raises sqlalchemy.exc.SQLAlchemyError."""
    # Imported here, since it would take a fifth of the start-up time of a command that only reads.
    import alembic.command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("path_separator", "os")
        config.set_main_option(
            "script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%")
        )
        alembic.command.upgrade(config, "head")


def _set_pragmas(connection: SQLiteConnection, _entry: ConnectionPoolEntry) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA secure_delete=ON")
    # Otherwise the undo data of a large insert would go to a temporary file.
    connection.execute("PRAGMA temp_store=MEMORY")
    # Creates the -wal file, so that its name can be synced now: SQLite would do so at the first
    # commit, but without reporting a failure.
    connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
    # Normally app.storage.sqlite.checkpoint does this; SQLite's own is for when that can't keep up,
    # and for commands.
    connection.execute(f"PRAGMA wal_autocheckpoint={LONGEST_LOG_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit={LONGEST_LOG_PAGES * 4096}")


def _add_functions(connection: SQLiteConnection, _entry: ConnectionPoolEntry) -> None:
    connection.create_function("casefold", 1, str.casefold, deterministic=True)
    connection.create_function("comparable_address", 1, comparable_address, deterministic=True)
