"""Makes the database anew from the segments, when it was lost or is not to be trusted."""

import fcntl
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError

from app.errors import StorageUnavailable
from app.state.small_files import sync_directory
from app.storage.segments.directory import LEGACY, Segments
from app.storage.sqlite.completion import LEGACY_IS_TAKEN_OVER, Completed, complete
from app.storage.sqlite.counters import set_to, value_of
from app.storage.sqlite.database import connect, create_database, is_damage, migrate
from app.storage.sqlite.database_file import (
    expected_size,
    header,
    is_database,
    size,
)
from app.storage.sqlite.deliveries.pauses import apply_pauses
from app.storage.sqlite.deliveries.settlements import SETTLEMENTS, apply_settlements
from app.storage.sqlite.generation import (
    DAMAGED,
    begin_generation,
    generation_file,
    generation_in,
    note_generation,
    noted_generation,
)
from app.storage.sqlite.in_use import used_by_nobody_else
from app.storage.sqlite.numbers import microseconds

_FILE = "file"
QUICKLY_CHECKED_BYTES = 64 * 1024 * 1024  # takes a fifth of a second
_GET_GENERATION = 0x80087601  # FS_IOC_GETVERSION, linux/fs.h
_LEGACY_IS_LOST = (
    "Messages in segments/*.segment were stored by version 0.2 or earlier, and only gomail.db knows"
    " them, which is lost or damaged: restore it with its -wal file, or move these segments away to"
    " start without them"
)
_COPY_LEGACY = (
    "INSERT INTO message SELECT * FROM old.message WHERE record_start IS NULL",
    "INSERT INTO erasure SELECT * FROM old.erasure WHERE segment LIKE '%.segment'",
    f"INSERT INTO counter SELECT * FROM old.counter WHERE name = '{LEGACY_IS_TAKEN_OVER}'",  # noqa: S608 -- a constant
)


def has_database(data_dir: Path) -> bool:
    """Return whether there is a database with anything in it; raises OSError."""
    return size(data_dir / "gomail.db") > 0


def why_unusable(data_dir: Path) -> str | None:
    """Return why the database can't be used, though there are messages; raises OSError.

    SQLite isn't asked first: next to a missing or empty database it deletes the log, and into a
    file of another kind it writes the log's pages.
    """
    database = data_dir / "gomail.db"
    if not size(database):
        has_mail = any(Segments(data_dir / "segments").all_paths()) or size(_log_of(database))
        return "is missing or empty" if has_mail else None
    if not is_database(database):
        if database.is_symlink():
            raise StorageUnavailable("gomail.db is a link to a file that is no database")
        return "is not a database"
    # The note first: a checkpoint that comes in between raises the number in the header, too.
    noted = noted_generation(generation_file(data_dir))
    has_log = size(_log_of(database)) > 0
    beginning = header(database)
    is_short = size(database) < expected_size(beginning)
    if is_short and not has_log:
        return "was cut short"
    if noted == DAMAGED:
        return "is damaged"
    if generation_in(beginning) < noted:
        return "is an older one"
    # A checkpoint writes the header first: until it is complete, also if it was killed, the rest is
    # in the log.
    return _why_not_trusted(database, check_anyway=is_short)


def _why_not_trusted(database: Path, *, check_anyway: bool) -> str | None:
    own = identity(database)
    engine = connect(database)
    try:
        if check_anyway or size(database) <= QUICKLY_CHECKED_BYTES:
            with engine.connect() as connection:
                [[verdict], *_] = connection.exec_driver_sql("PRAGMA quick_check(1)").all()
            if verdict != "ok":
                return "is damaged"
        migrate(engine)  # what is damaged would fail in other ways there
        with engine.begin() as connection:
            file = value_of(connection, _FILE)
            if not file:
                set_to(connection, _FILE, own)
    except DatabaseError as error:
        if is_damage(error.orig):
            return "is damaged"
        raise
    else:
        # Copied while it was written to, it may lack rows here and there.
        return "is a copy" if file not in {0, own} else None
    finally:
        engine.dispose()


def identity(path: Path) -> int:
    """Return a number that another file doesn't have, a copy for instance; raises OSError.

    The number of the inode isn't enough: a file that takes the place of a removed one gets the same
    as a rule. Its generation is random, where the file system has one.

    Not to be called while this process has the database open: see app.storage.sqlite.database_file.
    """
    generation = bytearray(8)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.ioctl(descriptor, _GET_GENERATION, generation)
        inode = os.fstat(descriptor).st_ino.to_bytes(8, "little")
    finally:
        os.close(descriptor)
    digest = hashlib.blake2b(inode + generation, digest_size=7).digest()
    return int.from_bytes(digest, "little")


def rebuild(
    data_dir: Path,
    progress: Callable[[int], None] = lambda _: None,
    clock: Callable[[], int] = microseconds,
) -> Completed:
    """Replace the database by one that is made of the segments; atomic.

    What version 0.1 has stored is known only to the old one, from which it is copied. Raises
    OSError, SQLAlchemyError, and StorageUnavailable while anybody uses the old one.
    """
    database = (data_dir / "gomail.db").resolve()  # an operator may have put it elsewhere
    new = _unfinished(database)
    segments = Segments(data_dir / "segments")
    note = generation_file(data_dir)
    with used_by_nobody_else(data_dir):
        _remove(new)
        create_database(new)
        own = identity(new)
        engine = connect(new)
        try:
            migrate(engine)
            if segments.paths(LEGACY):
                _copy_legacy(engine, database)
            completed = complete(engine, segments, data_dir / "commit.lock", progress, clock)
            apply_settlements(engine, data_dir / SETTLEMENTS)
            apply_pauses(engine, data_dir / SETTLEMENTS)
            with engine.begin() as connection:
                set_to(connection, _FILE, own)
                generation = begin_generation(connection, _last_generation(database, note))
        finally:
            engine.dispose()  # which moves everything from its log into the database
        _replace(new, database)
        note.unlink(missing_ok=True)
        note_generation(note, generation)
    return completed


def _last_generation(database: Path, note: Path) -> int:
    noted = noted_generation(note)
    if not is_database(database):
        return noted % DAMAGED
    return max(generation_in(header(database)), noted % DAMAGED)


def _copy_legacy(engine: Engine, database: Path) -> None:
    if is_database(database):
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
            [[verdict], *_] = connection.exec_driver_sql("PRAGMA integrity_check(1)").all()
            if verdict != "ok":
                raise StorageUnavailable(_LEGACY_IS_LOST)
    finally:
        old.dispose()
    with engine.connect() as connection:
        raw = connection.execution_options(isolation_level="AUTOCOMMIT")
        raw.exec_driver_sql("ATTACH ? AS old", (str(database),))
        for statement in _COPY_LEGACY:
            raw.exec_driver_sql(statement)
        raw.exec_driver_sql("DETACH old")


def _replace(new: Path, database: Path) -> None:
    descriptor = os.open(new, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if size(_log_of(database)):  # a kill must not leave the old one without its log
        database.unlink(missing_ok=True)
    for suffix in ("-wal", "-shm"):  # the new one must not find the log of the old one
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    new.replace(database)
    sync_directory(database.parent)


def remove_unfinished(data_dir: Path) -> None:
    """Remove what a killed `rebuild` has left, which may have mail that is deleted later.

    The caller keeps others from rebuilding. Raises OSError.
    """
    _remove(_unfinished((data_dir / "gomail.db").resolve()))


def _unfinished(database: Path) -> Path:
    return database.with_name("gomail.db.new")


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(IsADirectoryError):  # somebody else's, and no reason not to start
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def _log_of(database: Path) -> Path:
    real = database.resolve()
    return real.with_name(real.name + "-wal")
