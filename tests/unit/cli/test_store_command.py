"""`store reindex` makes gomail.db anew from the segments, or leaves it as it is."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from support.damage import garbage_database, missing_database
from support.server import CHECKOUT, clean_environment
from support.store import add

from app.storage.interface import Query
from app.storage.message import Reason, StoredMessage
from app.storage.segments.spooled_body import LARGE_MESSAGE_BYTES
from app.storage.sqlite.store import SQLiteStore

Run = Callable[..., Result]
KILLED_WHILE_READING = """
import os, signal, sys
from app.cli import gomail
from app.storage.segments.ended_segments import EndedSegment

records = EndedSegment.records

def interrupted(self):
    for number, record in enumerate(records(self)):
        yield record
        if number == 1:
            os.kill(os.getpid(), int(sys.argv.pop()))

EndedSegment.records = interrupted
gomail(["store", "reindex"])
"""


def contents(store: SQLiteStore) -> list[tuple[str, bytes]]:
    """Return ids and bytes, the first to arrive first."""
    return [(each.message_id, store.read(each.message_id)) for each in rows(store)]


def rows(store: SQLiteStore) -> list[StoredMessage]:
    return list(store.search(Query(oldest_first=True)))


@pytest.mark.parametrize("damage", [None, missing_database, garbage_database])
def test_the_index_is_made_of_the_segments(
    server_store: SQLiteStore,
    data_dir: Path,
    gomail_command: Run,
    damage: Callable[[Path], None] | None,
) -> None:
    """Small and large messages are there in their order with new numbers, deleted ones are not."""
    sizes = [10, LARGE_MESSAGE_BYTES + 1, 20, 0, 30]
    added = [add(server_store, b"x" * size, key=str(key)) for key, size in enumerate(sizes)]
    server_store.remove(added[2:3], Reason.REQUEST)
    before, last = contents(server_store), rows(server_store)[-1].number
    server_store.close()
    if damage:
        damage(data_dir)
    size = sum(path.stat().st_size for path in (data_dir / "segments").glob("*.records"))
    result = gomail_command("store", "reindex")

    assert (result.exit_code, result.stdout) == (
        0,
        f"gomail.db is made anew from {size} bytes of segments: 4 messages, 1 deletions\n",
    )
    assert "Reading segments" in result.stderr
    after = SQLiteStore(data_dir)
    assert contents(after) == before
    assert rows(after)[0].number > last
    after.close()


def test_it_says_what_it_could_not_use(
    server_store: SQLiteStore, data_dir: Path, gomail_command: Run
) -> None:
    """Damage in the middle is named with its place, and a damaged end with where it is kept."""
    sizes = [32]
    for key in range(4):
        add(server_store, b"content", key=str(key))
        [path] = (data_dir / "segments").glob("*.records")
        sizes.append(path.stat().st_size)
    server_store.close()
    raw = bytearray(path.read_bytes())
    raw[sizes[1] + 3] ^= 1
    raw[sizes[3] + 3] ^= 1
    path.write_bytes(raw)
    result = gomail_command("store", "reindex")
    assert result.exit_code == 0
    assert ": 2 messages, 0 deletions\n" in result.stdout
    assert f"segments/{path.name}: damaged from byte {sizes[1]} to {sizes[2]}\n" in result.stdout
    name, size = f"{path.name}.from-{sizes[3]}", sizes[4] - sizes[3]
    assert f"segments/leftovers/{name}: {size} bytes that are no record" in result.stdout
    kept = data_dir / "segments" / "leftovers" / name
    assert kept.read_bytes() == bytes(raw[sizes[3] :])


def test_it_is_refused_while_the_database_is_used(
    server_store: SQLiteStore, data_dir: Path, gomail_command: Run
) -> None:
    """The line says what to do; the database isn't touched, and goes on working."""
    add(server_store, b"content")
    inode = (data_dir / "gomail.db").stat().st_ino
    result = gomail_command("store", "reindex")
    assert result.exit_code == 1
    assert "stop the server first" in result.output
    assert (data_dir / "gomail.db").stat().st_ino == inode
    add(server_store, b"content", key="another")
    assert len(rows(server_store)) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_old_database_stays_when_it_is_interrupted(
    server_store: SQLiteStore, data_dir: Path, gomail_command: Run, number: signal.Signals
) -> None:
    """By Ctrl-C or a kill while it reads: the same file with the same messages, then it works."""
    for key in range(5):
        add(server_store, b"content", key=str(key))
    before = contents(server_store)
    server_store.close()
    file = (data_dir / "gomail.db").stat().st_ino, (data_dir / "gomail.db").read_bytes()
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_READING, str(int(number))],
        env=clean_environment() | {"MAIL_DATA_DIR": str(data_dir), "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == (1 if number == signal.SIGINT else -number), ended.stderr
    database = data_dir / "gomail.db"
    assert (database.stat().st_ino, database.read_bytes()) == file
    assert gomail_command("store", "reindex").exit_code == 0
    after = SQLiteStore(data_dir)
    assert contents(after) == before
    after.close()


def test_nothing_was_ever_stored(data_dir: Path, gomail_command: Run) -> None:
    """A wrong data_dir is said, and isn't created."""
    result = gomail_command("store", "reindex")
    assert (result.exit_code, result.output) == (1, f"Nothing is stored in {data_dir} yet.\n")
    assert not data_dir.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
@pytest.mark.parametrize(
    "command",
    [
        ("store", "reindex"),
        ("messages", "delete", "x"),
        ("messages", "purge", "--older-than", "1h"),
    ],
)
def test_root_leaves_nothing_that_the_server_cannot_read(
    server_store: SQLiteStore, data_dir: Path, gomail_command: Run, command: tuple[str, ...]
) -> None:
    """In another user's data directory the command is refused before it writes anything."""
    add(server_store, b"content")
    server_store.close()
    for path in [data_dir, *data_dir.rglob("*")]:
        os.chown(path, 65534, 65534)
    before = sorted(data_dir.rglob("*"))
    result = gomail_command(*command)
    assert result.exit_code == 1
    assert "run this as that user" in result.output
    assert sorted(data_dir.rglob("*")) == before


def test_other_commands_name_it_when_the_database_is_missing(
    server_store: SQLiteStore, data_dir: Path, gomail_command: Run
) -> None:
    """They don't say that nothing is stored."""
    add(server_store, b"content")
    server_store.close()
    missing_database(data_dir)
    result = gomail_command("messages", "list")
    assert result.exit_code == 1
    assert "`flask gomail store reindex`" in result.output


def test_the_help_says_when_it_works(gomail_command: Run) -> None:
    """That the server must be stopped, and that the old one stays until then."""
    shown = " ".join(gomail_command("store", "reindex", "--help").stdout.split())
    assert "server must be stopped" in shown
    assert "stays in place" in shown
    assert "store" in gomail_command("--help").stdout
