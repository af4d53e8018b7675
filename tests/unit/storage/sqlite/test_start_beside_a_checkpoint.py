"""A start doesn't take a checkpoint that is under way, or was killed, for damage."""

import os
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.killed import Report, killed_after
from support.store import add, start, stored

from app.errors import StorageUnavailable
from app.state.lock_file import locked
from app.storage.sqlite import creation, rebuilding
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.database_file import header as read_header
from app.storage.sqlite.rebuilding import identity, why_unusable
from app.storage.sqlite.store import SQLiteStore

WAL_HEADER, FRAME_HEADER, PAGE = 32, 24, 4096  # https://www.sqlite.org/fileformat.html, section 4


def fill(data_dir: Path, count: int) -> dict[str, bytes]:
    """Store messages in a process that is killed; return their bytes by id."""

    def work(report: Report) -> None:
        store = SQLiteStore(data_dir)
        report({add(store, b"mail", str(each), subject="s" * 200): each for each in range(count)})

    create_store(data_dir).close()
    with locked(data_dir / "checkpoint.lock"):  # so that the log has all of it
        [ids] = killed_after(work)
    return dict.fromkeys(ids, b"mail")


def begin_checkpoint(data_dir: Path) -> None:
    """Do the first step of SQLite's checkpoint alone: page 1 comes from the log."""
    log = (data_dir / "gomail.db-wal").read_bytes()
    frames = range(WAL_HEADER, len(log), FRAME_HEADER + PAGE)
    at = [frame for frame in frames if struct.unpack_from(">I", log, frame) == (1,)][-1]
    with (data_dir / "gomail.db").open("rb+") as database:
        database.write(log[at + FRAME_HEADER : at + FRAME_HEADER + PAGE])


def is_short(data_dir: Path) -> bool:
    database = data_dir / "gomail.db"
    with database.open("rb") as file:
        [pages] = struct.unpack_from(">I", file.read(100), 28)
    return bool(database.stat().st_size < int(pages) * PAGE)


def test_a_checkpoint_that_was_killed_is_no_damage(data_dir: Path) -> None:
    """Its header counts pages that only the log has: the index stays, and nothing is missing."""
    messages = fill(data_dir, 300)
    begin_checkpoint(data_dir)
    assert is_short(data_dir)
    before = identity(data_dir / "gomail.db")
    with closing(start(data_dir)) as store:
        assert stored(store) == messages
    assert identity(data_dir / "gomail.db") == before
    assert not is_short(data_dir)


def test_a_short_database_is_checked_whatever_its_size(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that lacks the missing pages doesn't save it: the start makes it anew."""
    monkeypatch.setattr(rebuilding, "QUICKLY_CHECKED_BYTES", 0)
    messages = fill(data_dir, 300)
    start(data_dir).close()

    def add_one(report: Report) -> None:
        report(add(SQLiteStore(data_dir), b"one", "one"))

    [one] = killed_after(add_one)
    before = identity(data_dir / "gomail.db")
    os.truncate(data_dir / "gomail.db", (data_dir / "gomail.db").stat().st_size - 10 * PAGE)
    assert (data_dir / "gomail.db-wal").stat().st_size
    with closing(start(data_dir)) as store:
        assert stored(store) == messages | {one: b"one"}
    assert identity(data_dir / "gomail.db") != before


def test_a_checkpoint_while_the_header_is_read_makes_nothing_older(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is noted after the header was read isn't compared with it."""
    fill(data_dir, 3)

    def checkpoint(_report: Report) -> None:
        store = SQLiteStore(data_dir)
        store._checkpoints._checkpoint()

    def header(database: Path) -> bytes:
        beginning = read_header(database)
        note = (data_dir / "generation").read_bytes()
        killed_after(checkpoint)
        assert (data_dir / "generation").read_bytes() != note
        return beginning

    monkeypatch.setattr(rebuilding, "header", header)
    assert why_unusable(data_dir) is None


def looks(reasons: list[str | None]) -> Callable[[Path], str | None]:
    """Return a stand-in for `why_unusable` that takes one reason after the other."""
    return lambda _: reasons.pop(0)


def test_a_moment_of_another_process_is_no_reason_to_refuse(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While others use the database, a start looks again, and works once it looks well."""
    with closing(create_store(data_dir)) as other:
        message_id = add(other, b"mail")
        before = identity(data_dir / "gomail.db")
        monkeypatch.setattr(creation, "why_unusable", looks(["was cut short", "is damaged", None]))
        with closing(create_store(data_dir)) as store:
            assert stored(store) == {message_id: b"mail"}
        assert identity(data_dir / "gomail.db") == before


def test_what_stays_is_refused(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start gives up after some looks."""
    monkeypatch.setattr(creation, "SECONDS_BETWEEN_LOOKS", 0)
    with closing(create_store(data_dir)) as other:
        add(other, b"mail")
        reasons: list[str | None] = ["is damaged"] * (creation.LOOKS + 1)
        monkeypatch.setattr(creation, "why_unusable", looks(reasons))
        with pytest.raises(StorageUnavailable, match="stop the server first"):
            create_store(data_dir)
    assert len(reasons) == 1


def test_damage_that_nobody_uses_is_mended_at_the_first_look(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits when no other process can be the reason."""
    create_store(data_dir).close()
    before = identity(data_dir / "gomail.db")
    monkeypatch.setattr(creation, "why_unusable", looks(["is damaged"]))
    create_store(data_dir).close()
    assert identity(data_dir / "gomail.db") != before
