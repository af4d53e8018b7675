"""What a database file says without SQLite (https://www.sqlite.org/fileformat.html, section 1.3).

None of it may be called while this process has the database open, except `size`: closing a file
that SQLite has open drops SQLite's locks (https://www.sqlite.org/howtocorrupt.html, section 2.2).
"""

import struct
from pathlib import Path

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100


def size(path: Path) -> int:
    """Return the size of a file, 0 if there is none; raises OSError."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def is_database(path: Path) -> bool:
    """Return whether there is a file that begins like one; raises OSError.

    SQLite would write the pages of a log into a file of another kind.
    """
    if not size(path):
        return False
    beginning = header(path)
    return beginning.startswith(_MAGIC) and len(beginning) == _HEADER_BYTES


def header(database: Path) -> bytes:
    """Return the beginning; raises OSError."""
    with database.open("rb") as file:
        return file.read(_HEADER_BYTES)


def expected_size(header: bytes) -> int:
    """Return the size that the header says."""
    [page_size] = struct.unpack_from(">H", header, 16)
    [pages] = struct.unpack_from(">I", header, 28)
    return (65536 if page_size == 1 else int(page_size)) * int(pages)
