"""What a start makes of a gomail.db that lacks what was acknowledged."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.damage import (
    database_without_end,
    empty_database,
    garbage_database,
    garbage_in_both,
    missing_database,
    missing_database_and_log,
    truncated_database,
)
from support.killed import Report, killed_after
from support.store import add, files_with, records, start, stored

from app.settings import Storage
from app.storage.interface import MessageStore, Query
from app.storage.message import Reason
from app.storage.preparation import leftovers, reindex
from app.storage.segments.spooled_body import LARGE_MESSAGE_BYTES
from app.storage.sqlite.completion import Completed
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore

GONE = "cdxIk"
LARGE = b"L" * 2 * LARGE_MESSAGE_BYTES


@dataclass
class Filled:
    """A data directory, and what was acknowledged in it: bytes by id, ids by key."""

    data_dir: Path
    stored: dict[str, bytes]
    ids: dict[str, str]
    last_number: int


@pytest.fixture
def filled(data_dir: Path) -> Filled:
    """Three processes have stored and deleted, then they were killed; `hour_ago` is from before."""
    create_store(data_dir).close()
    [ids, last_number] = killed_after(lambda report: _fill(data_dir, report))
    kept = {message_id: _raw(key) for key, message_id in ids.items() if key not in GONE}
    return Filled(data_dir, kept, ids, last_number)


def _fill(data_dir: Path, report: Report) -> None:
    ids: dict[str, str] = {}
    one, two, three = (SQLiteStore(data_dir) for _ in range(3))

    def store_some(store: MessageStore, keys: str) -> None:
        for key in keys:
            ids[key] = add(store, _raw(key), key, sender=f"{key}@sender")

    store_some(one, "abc")
    store_some(two, "def")
    one.remove([ids["c"]], Reason.REQUEST)
    shutil.copytree(data_dir, data_dir.with_name("hour_ago"))
    store_some(three, "GHIx")
    store_some(one, "jk")
    two.remove([ids[key] for key in "dxIk"], Reason.RETENTION)
    store_some(two, "lm")
    report(ids)
    report(next(iter(one.search(Query()))).number)


def _raw(key: str) -> bytes:
    return LARGE + key.encode() if key in "bGx" else f"mail {key} ".encode() * 9


def nothing(data_dir: Path) -> None:
    """A kill alone."""


def missing_log(data_dir: Path) -> None:
    (data_dir / "gomail.db-wal").unlink()


def damaged_table(data_dir: Path) -> None:
    with (data_dir / "gomail.db").open("rb+") as file:
        file.write(file.read(100).ljust(4096 * 2, b"\xff"))


def hour_ago(data_dir: Path) -> None:
    for path in data_dir.glob("gomail.db*"):
        path.unlink()
    for path in (data_dir.parent / "hour_ago").glob("gomail.db*"):
        shutil.copy(path, data_dir)


def hour_ago_in_place(data_dir: Path) -> None:
    # The file stays the same one, which therefore isn't taken for a copy.
    inode = (data_dir / "gomail.db").stat().st_ino
    (data_dir / "gomail.db-wal").unlink()
    shutil.copy(data_dir.parent / "hour_ago" / "gomail.db", data_dir)
    shutil.copy(data_dir.parent / "hour_ago" / "gomail.db-wal", data_dir)
    assert (data_dir / "gomail.db").stat().st_ino == inode


def copied_directory(data_dir: Path) -> None:
    shutil.copytree(data_dir, data_dir.with_name("copy"))
    shutil.rmtree(data_dir)
    shutil.copytree(data_dir.with_name("copy"), data_dir)


def without_number(data_dir: Path) -> None:
    (data_dir / "commit.lock").write_bytes(b"")


def with_older_number(data_dir: Path) -> None:
    (data_dir / "commit.lock").write_text("12345", encoding="ascii")


def without_number_and_database(data_dir: Path) -> None:
    (data_dir / "commit.lock").unlink()
    missing_database_and_log(data_dir)


@pytest.mark.parametrize(
    "damage",
    [
        nothing,
        missing_database,
        missing_database_and_log,
        missing_log,
        empty_database,
        truncated_database,
        database_without_end,
        garbage_database,
        garbage_in_both,
        damaged_table,
        hour_ago,
        hour_ago_in_place,
        copied_directory,
        without_number,
        with_older_number,
        without_number_and_database,
    ],
)
def test_a_start_finds_all_that_was_acknowledged(
    filled: Filled, damage: Callable[[Path], None]
) -> None:
    """Each message with its bytes, none of the deleted; repeats are known; numbers go on."""
    damage(filled.data_dir)
    with closing(start(filled.data_dir)) as store:
        assert stored(store) == filled.stored
        for key, message_id in filled.ids.items():
            assert add(store, b"again", key) == message_id
        statistics = store.statistics()
        assert statistics.messages == len(filled.stored)
        assert statistics.bytes == sum(map(len, filled.stored.values()))
        assert statistics.deleted == {Reason.REQUEST: 1, Reason.RETENTION: 4}
        new = store.get(add(store, b"new", "new"))
        assert new.number > max(filled.last_number, *_numbers(store, new.message_id))
        assert store.missing_segments() == {}
    assert leftovers(Storage(filled.data_dir)) == []
    assert files_with(filled.data_dir, b"c@sender") == []
    assert files_with(filled.data_dir, b"mail d ") == []
    assert files_with(filled.data_dir, b"again") == []
    with closing(create_store(filled.data_dir)) as store:
        assert store.complete() == Completed()
        assert len(stored(store)) == len(filled.stored) + 1


def _numbers(store: MessageStore, except_for: str) -> list[int]:
    return [each.number for each in store.search(Query()) if each.message_id != except_for]


def test_what_came_back_is_ahead_of_a_reader(filled: Filled) -> None:
    """A reader that goes on from its number sees again what was lost, in the order of arrival."""
    missing_database_and_log(filled.data_dir)
    with closing(start(filled.data_dir)) as store:
        found = list(store.search(Query(after=filled.last_number, oldest_first=True)))
    in_order = [each for each in filled.ids.values() if each in filled.stored]
    assert [each.message_id for each in found] == in_order


def test_rows_missing_in_the_middle_come_back_with_a_new_index(filled: Filled) -> None:
    """A start looks behind the last row of each segment only; `store reindex` at everything."""
    with closing(sqlite3.connect(filled.data_dir / "gomail.db")) as connection, connection:
        ids = [filled.ids[key] for key in "aeH"]
        marks = ",".join("?" * len(ids))
        connection.execute(f"DELETE FROM message WHERE id IN ({marks})", ids)
    reindex(Storage(filled.data_dir), lambda _: None)
    with closing(start(filled.data_dir)) as store:
        assert stored(store) == filled.stored


def test_a_torn_end_is_nobodys(filled: Filled, caplog: pytest.LogCaptureFixture) -> None:
    """What a kill has left of a write is cut off, and said once; whole records stay."""
    torn = {
        path: path.read_bytes() for path in records(filled.data_dir) if b"mail" in path.read_bytes()
    }
    for path, raw in torn.items():
        record = raw[32:]
        os.truncate(path, len(raw) - 5)
        with path.open("ab") as file:
            file.write(raw[-5:] + record[:40])
    with caplog.at_level("INFO", "gomail"), closing(start(filled.data_dir)) as store:
        assert stored(store) == filled.stored
    assert f"A crash left {40 * len(torn)} bytes" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO", "gomail"):
        start(filled.data_dir).close()
    assert caplog.text == ""


def test_a_message_damaged_in_the_middle_is_passed_over(filled: Filled) -> None:
    """Without an index a broken description hides one message, and no other."""
    [path] = [path for path in records(filled.data_dir) if b"mail a" in path.read_bytes()]
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"a@sender", b"A@sender"))
    missing_database_and_log(filled.data_dir)
    with closing(start(filled.data_dir)) as store:
        del filled.stored[filled.ids["a"]]
        assert stored(store) == filled.stored
        assert store.statistics().passed_over == 1
    with closing(start(filled.data_dir)) as store:
        assert store.statistics().passed_over == 1


def test_a_forgotten_deletion_stays_forgotten(data_dir: Path) -> None:
    """A start doesn't learn of it again, and the message doesn't come back."""
    with closing(create_store(data_dir)) as store:
        gone = add(store, b"gone", "gone")
        store.remove([gone], Reason.REQUEST)
        store.forget_deleted(datetime(9999, 1, 1, tzinfo=UTC))
    with closing(start(data_dir)) as store:
        assert stored(store) == {}
        assert add(store, b"again", "gone") != gone
        assert list(stored(store).values()) == [b"again"]
    reindex(Storage(data_dir), lambda _: None)
    with closing(start(data_dir)) as store:
        assert list(stored(store).values()) == [b"again"]


def test_missing_segments_are_counted(data_dir: Path) -> None:
    """With the number of their messages; others aren't named."""
    with closing(create_store(data_dir)) as store:
        add(store, b"one", "1")
        add(store, b"two", "2")
    [lost] = records(data_dir)
    with closing(SQLiteStore(data_dir)) as store:
        add(store, b"three", "3")
        assert store.missing_segments() == {}
        lost.unlink()
        assert store.missing_segments() == {lost.name: 2}
