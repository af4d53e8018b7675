"""Makes the database anew from the segments, when it was lost or is not to be trusted."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError

from app.errors import StorageUnavailable
from app.state.small_files import sync_directory
from app.storage.segments.directory import LEGACY, Segments
from app.storage.sqlite.completion import Completed, complete
from app.storage.sqlite.counters import set_to, value_of
from app.storage.sqlite.database import connect, create_database, migrate
from app.storage.sqlite.in_use import used_by_nobody_else

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_FILE = "file"
_LEGACY_IS_LOST = (
    "Messages in segments/*.segment were stored by version 0.1, and only gomail.db knows them,"
    " which is lost or damaged: restore it with its -wal file, or move these segments away to start"
    " without them"
)
_COPY_LEGACY = "INSERT INTO message SELECT * FROM old.message WHERE record_start IS NULL"


def has_database(data_dir: Path) -> bool:
    """Return whether there is a database with anything in it; raises OSError."""
    return _size(data_dir / "gomail.db") > 0


def why_unusable(data_dir: Path) -> str | None:
    """Return why the database can't be used, though there are messages; raises OSError.

    SQLite isn't asked first: next to a missing or empty database it deletes the log, and into a
    file of another kind it writes the log's pages.
    """
    database = data_dir / "gomail.db"
    if not _size(database):
        has_mail = any(Segments(data_dir / "segments").all_paths()) or _size(_log_of(database))
        return "is missing or empty" if has_mail else None
    with database.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header.startswith(_MAGIC):
        if database.is_symlink():
            raise StorageUnavailable("gomail.db is a link to a file that is no database")
        return "is not a database"
    if _size(database) < _expected_size(header):
        return "was cut short"
    return _why_not_trusted(database)


def _expected_size(header: bytes) -> int:
    """Return what the header says (https://www.sqlite.org/fileformat.html, section 1.3)."""
    [page_size] = struct.unpack_from(">H", header, 16)
    [pages] = struct.unpack_from(">I", header, 28)
    return (65536 if page_size == 1 else int(page_size)) * int(pages)


def _why_not_trusted(database: Path) -> str | None:
    # A log next to a database that is older than it leaves a mixture of both.
    has_log = _size(_log_of(database)) > 0
    engine = connect(database)
    try:
        migrate(engine)
        with engine.begin() as connection:
            file = value_of(connection, _FILE)
            own = database.stat().st_ino
            if not file:
                set_to(connection, _FILE, own)
            if has_log and not _is_sound(connection):
                return "is damaged"
    except DatabaseError as error:
        if _is_damage(error):
            return "is damaged"
        raise
    else:
        # Copied while it was written to, it may lack rows here and there.
        return "is a copy" if file not in {0, own} else None
    finally:
        engine.dispose()


def _is_damage(error: DatabaseError) -> bool:
    return "malformed" in str(error.orig) or "not a database" in str(error.orig)


def _is_sound(connection: Connection) -> bool:
    [[verdict], *_] = connection.exec_driver_sql("PRAGMA integrity_check(1)").all()
    return bool(verdict == "ok")


def rebuild(data_dir: Path, progress: Callable[[int], None] = lambda _: None) -> Completed:
    """Replace the database by one that is made of the segments; atomic.

    What version 0.1 has stored is known only to the old one, from which it is copied. Raises
    OSError, SQLAlchemyError, and StorageUnavailable while anybody uses the old one.
    """
    database = (data_dir / "gomail.db").resolve()  # an operator may have put it elsewhere
    new = database.with_name("gomail.db.new")
    segments = Segments(data_dir / "segments")
    with used_by_nobody_else(data_dir):
        _remove(new)
        create_database(new)
        engine = connect(new)
        try:
            migrate(engine)
            if segments.paths(LEGACY):
                _copy_legacy(engine, database)
            completed = complete(engine, segments, data_dir / "commit.lock", progress)
            with engine.begin() as connection:
                set_to(connection, _FILE, new.stat().st_ino)
        finally:
            engine.dispose()  # which moves everything from its log into the database
        _replace(new, database)
    return completed


def _copy_legacy(engine: Engine, database: Path) -> None:
    if _size(database):
        try:
            _check_and_copy(engine, database)
        except DatabaseError as error:
            raise StorageUnavailable(_LEGACY_IS_LOST) from error
    else:
        raise StorageUnavailable(_LEGACY_IS_LOST)


def _check_and_copy(engine: Engine, database: Path) -> None:
    old = connect(database)
    try:
        migrate(old)
        with old.connect() as connection:
            if not _is_sound(connection):
                raise StorageUnavailable(_LEGACY_IS_LOST)
    finally:
        old.dispose()
    with engine.connect() as connection:
        raw = connection.execution_options(isolation_level="AUTOCOMMIT")
        raw.exec_driver_sql("ATTACH ? AS old", (str(database),))
        raw.exec_driver_sql(_COPY_LEGACY)
        raw.exec_driver_sql("DETACH old")


def _replace(new: Path, database: Path) -> None:
    descriptor = os.open(new, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    for suffix in ("-wal", "-shm"):  # the new one must not find the log of the old one
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    new.replace(database)
    sync_directory(database.parent)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _log_of(database: Path) -> Path:
    real = database.resolve()
    return real.with_name(real.name + "-wal")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
