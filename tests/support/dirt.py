"""A data directory that somebody has laid hands on, and what a start makes of it."""

import hashlib
import shutil
import stat
from collections.abc import Collection
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from support.plain_mail import plain_mail
from support.requirement import require_program
from support.server import GUNICORN, START_SECONDS, Command, Server, wait_for

from app.storage.interface import Query
from app.storage.sqlite.store import SQLiteStore

# SQLite and the lock of a start change these as they work.
LIVING = {
    "checkpoint.lock",
    "commit.lock",
    "generation",
    "in-use.lock",
    "gomail.db",
    "gomail.db-wal",
    "gomail.db-shm",
    "migrate.lock",
    "retention.lock",
    "shutdowns.json",
}

Tree = dict[str, tuple[int, str | None]]


@dataclass(frozen=True)
class Used:
    """What a killed server left: its messages by id, and its database as it was at a stop.

    A start tells a database from a copy of it by the number of its file (inode), so `database` is
    the one that each test gets, by a link, and `newer` what was in it.
    """

    data_dir: Path
    stored: dict[str, bytes]
    older: bytes
    newer: bytes

    @property
    def database(self) -> Path:
        """The database of the server."""
        return self.data_dir / "gomail.db"

    def lay_out(self, data_dir: Path) -> None:
        """Make a data directory like it, with the same file as its database."""
        self.database.write_bytes(self.newer)
        without = shutil.ignore_patterns("gomail.db")
        shutil.copytree(self.data_dir, data_dir, ignore=without, copy_function=shutil.copy2)
        (data_dir / "gomail.db").hardlink_to(self.database)


def message(number: int) -> bytes:
    """Return a message of its own for each number."""
    return plain_mail(f"number {number}", bytes([65 + number % 26]) * 5_000)


def bound_by_modes() -> tuple[str, ...]:
    """Return the command of a server for whom modes hold, although it may be root's."""
    without = "-dac_override,-dac_read_search,-fowner"
    return (require_program("setpriv"), "--bounding-set", without, *GUNICORN)


def tree(directory: Path) -> Tree:
    """Return everything below `directory`: kind and mode of each path, and what it holds."""
    return {str(path.relative_to(directory)): _seen(path) for path in directory.rglob("*")}


def _seen(path: Path) -> tuple[int, str | None]:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return (status.st_mode, str(path.readlink()))
    if stat.S_ISREG(status.st_mode):
        return (status.st_mode, hashlib.sha256(path.read_bytes()).hexdigest())
    return (status.st_mode, None)


def assert_untouched(before: Tree, after: Tree, ours: Collection[str] = LIVING) -> None:
    """Check that all of `before` but `ours` is still there and unchanged."""
    changed = {
        path: (seen, after.get(path))
        for path, seen in before.items()
        if path not in ours and after.get(path) != seen
    }
    assert not changed, changed
    gone = before.keys() - after.keys() - {"gomail.db-wal", "gomail.db-shm"}
    assert not gone, gone


class Outcome:
    """What came of a start: `refusal` is the line that was said, None when the server serves."""

    def __init__(self, server: Server, command: Command = GUNICORN) -> None:
        said = len(server.errors()) if server.error_file.exists() else 0
        server.launch(command)
        wait_for(lambda: not server.is_running() or _serves(server), START_SECONDS)
        self.refusal: str | None = None
        if not server.is_running():
            assert server.wait() == 1, server.errors()
            [refusal] = server.errors()[said:].splitlines()
            assert refusal.startswith(f"data_dir: {server.data_dir.resolve()} can't be used: ")
            self.refusal = refusal


def _serves(server: Server) -> bool:
    with suppress(OSError):
        return server.request("GET", "/ready", seconds=5).status == 200
    return False


def readable(server: Server) -> dict[str, bytes]:
    """Return the bytes of each stored message that can be read."""
    with closing(SQLiteStore(server.data_dir)) as store:
        return {row.message_id: store.read(row.message_id) for row in store.search(Query())}


def restore(used: Used, data_dir: Path) -> None:
    """Put back all that was there."""
    shutil.rmtree(data_dir)
    used.lay_out(data_dir)
