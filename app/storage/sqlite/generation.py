"""Tells an older gomail.db that was put back in place of the present one, in the same file.

Beside it may still be the write-ahead log of the present one, and SQLite would mix the two. So with
each checkpoint the database gets a new number (PRAGMA user_version), and when the checkpoint is
complete, and only then the log may begin anew, the number is noted in a file beside it: a database
with a lower number is older than its log.
"""

import os
from pathlib import Path

from sqlalchemy import Connection

DAMAGED = 2**32
"""Noted instead of a number that a database can have: it is damaged."""
_OFFSET = 60  # of the number in the database (https://www.sqlite.org/fileformat.html, 1.3)
_NOTE_BYTES = 20


def generation_file(data_dir: Path) -> Path:
    """Return the file that has the note."""
    return data_dir / "generation"


def generation_in(header: bytes) -> int:
    """Return the number in the beginning of a database, whatever its log says."""
    return int.from_bytes(header[_OFFSET : _OFFSET + 4], "big")


def noted_generation(file: Path) -> int:
    """Return the number that the database must have at least, 0 without a note; raises OSError."""
    try:
        note = file.read_text("ascii", "replace").strip()
    except FileNotFoundError:
        return 0
    return int(note) if note.isdecimal() else 0


def note_generation(file: Path, generation: int) -> None:
    """Note that the database has the number `generation`, or DAMAGED; raises OSError.

    A note is never lowered: one that a database made anew should have is removed before.
    """
    if noted_generation(file) >= generation:
        return
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, str(generation).encode().ljust(_NOTE_BYTES), 0)
    finally:
        os.close(descriptor)


def begin_generation(connection: Connection, least: int = 0) -> int:
    """Give the database the next number and return it; the caller keeps other writers out."""
    last: int = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    following = max(last, least) + 1
    connection.exec_driver_sql(f"PRAGMA user_version = {following}")
    return following
