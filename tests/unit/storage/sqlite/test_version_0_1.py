"""A data directory of version 0.1 is taken over as it is."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.damage import (
    empty_database,
    garbage_database,
    missing_database,
)
from support.killed import Report, killed_after
from support.store import add, files_with, records, start, stored
from support.version_0_1 import make_version_0_1

from app.errors import StorageUnavailable
from app.settings import Storage
from app.storage.ids import new_message_id
from app.storage.interface import Query
from app.storage.message import Reason
from app.storage.preparation import leftovers, reindex
from app.storage.segments.spooled_body import LARGE_MESSAGE_BYTES
from app.storage.sqlite.completion import Completed
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore

RAWS = {
    "one": b"first mail of old",
    "none": b"",
    "two": b"second mail of old",
    "large": b"L" * 2 * LARGE_MESSAGE_BYTES,
    "three": b"third mail of old",
}


@pytest.fixture
def ids(data_dir: Path) -> dict[str, str]:
    """Make the directory, and return the ids of what is in it by key."""
    return make_version_0_1(data_dir, RAWS)


def legacy(data_dir: Path) -> dict[tuple[str, int], bytes]:
    """Return the content of the old segments by name and inode."""
    return {
        (path.name, path.stat().st_ino): path.read_bytes()
        for path in (data_dir / "segments").glob("*.segment")
    }


def damaged_pages(data_dir: Path) -> None:
    size = (data_dir / "gomail.db").stat().st_size
    with (data_dir / "gomail.db").open("rb+") as file:
        for page in range(4096, size, 4096):
            file.seek(page)
            file.write(b"\xff" * 50)


def expected(ids: dict[str, str], *without: str) -> dict[str, bytes]:
    return {message_id: RAWS[key] for key, message_id in ids.items() if key not in without}


def test_it_is_taken_over_as_it_is(data_dir: Path, ids: dict[str, str]) -> None:
    """All is readable, numbered by id; the segments aren't rewritten; new mail has records."""
    before = legacy(data_dir)
    for _ in range(2):
        with closing(start(data_dir)) as store:
            assert stored(store) == expected(ids)
            found = list(store.search(Query(oldest_first=True)))
            assert [each.message_id for each in found] == list(ids.values())
            assert [each.number for each in found] == [1, 2, 3, 4, 5]
            assert store.statistics().messages == len(RAWS)
            assert store.statistics().bytes == sum(map(len, RAWS.values()))
            for key, message_id in ids.items():
                assert add(store, b"again", key) == message_id
    assert legacy(data_dir) == before
    assert len(before) == 2
    assert records(data_dir) == []
    assert leftovers(Storage(data_dir)) == []
    with closing(start(data_dir)) as store:
        new = add(store, b"new mail", "new")
        assert store.get(new).number > 5
        assert stored(store) == expected(ids) | {new: b"new mail"}
    assert [b"new mail" in path.read_bytes() for path in records(data_dir)] == [True]
    assert legacy(data_dir) == before


@pytest.mark.parametrize("then", ["start", "killed", "reindex", "older database"])
def test_old_messages_are_deleted_and_erased(
    data_dir: Path, tmp_path: Path, ids: dict[str, str], then: str
) -> None:
    """With all that is known of them; neighbours stay; a start and a new index know it too."""
    start(data_dir).close()
    shutil.copytree(data_dir, tmp_path / "before")
    gone = ["none", "two", "three", "large"]

    def delete(report: Report) -> None:
        store = SQLiteStore(data_dir)
        report(sorted(store.remove([ids[key] for key in gone], Reason.REQUEST)))
        if then not in {"killed", "reindex"}:
            store.erase()

    assert killed_after(delete) == [sorted(ids[key] for key in gone)]
    if then == "reindex":
        reindex(Storage(data_dir), lambda _: None)
    if then == "older database":
        for path in data_dir.glob("gomail.db*"):
            path.unlink()
        for path in (tmp_path / "before").glob("gomail.db*"):
            shutil.copy(path, data_dir)
    with closing(start(data_dir)) as store:
        assert stored(store) == expected(ids, *gone)
        assert add(store, b"again", "two") == ids["two"]
        assert store.statistics().deleted[Reason.REQUEST] == 4
    for word in (b"second mail", b"third mail", b"two@sender", b"about three", b"LLLL"):
        assert files_with(data_dir, word) == []
    assert leftovers(Storage(data_dir)) == []
    with closing(create_store(data_dir)) as store:
        assert store.complete() == Completed()


def test_all_old_messages_are_deleted_one_by_one(data_dir: Path, ids: dict[str, str]) -> None:
    """Whatever remains of a segment, a start takes nothing in it for bytes without a row."""
    for number, message_id in enumerate(reversed(ids.values())):
        with closing(start(data_dir)) as store:
            assert store.remove([message_id], Reason.RETENTION) == [message_id]
            assert store.statistics().messages == len(ids) - number - 1
    with closing(start(data_dir)) as store:
        assert stored(store) == {}
    assert files_with(data_dir, b"of old") == []
    assert leftovers(Storage(data_dir)) == []


def test_an_empty_message_and_its_neighbour_go_together(
    data_dir: Path, ids: dict[str, str]
) -> None:
    """They begin at the same byte, in whichever order they are deleted."""
    with closing(start(data_dir)) as store:
        for key in ("none", "two"):
            store.remove([ids[key]], Reason.REQUEST)
        store.erase()
        assert stored(store) == expected(ids, "none", "two")
    assert files_with(data_dir, b"second mail") == []


def test_bytes_without_a_row_are_kept(data_dir: Path, ids: dict[str, str]) -> None:
    """Once, in `leftovers`: what version 0.1 was writing when it was killed, or lost the row of."""
    shared = next(
        path for path in (data_dir / "segments").iterdir() if b"first" in path.read_bytes()
    )
    before = shared.read_bytes()
    with shared.open("ab") as file:
        file.write(b"behind the last row")
    unknown = shared.with_name("0" * 32 + ".segment")
    unknown.write_bytes(b"no row at all")
    for _ in range(2):
        with closing(start(data_dir)) as store:
            assert stored(store) == expected(ids)
        kept = {path.name: path.read_bytes() for path in (shared.parent / "leftovers").iterdir()}
        assert kept == {
            unknown.name: b"no row at all",
            f"{shared.name}.from-{len(before)}": b"behind the last row",
        }
        assert shared.read_bytes() == before
        assert not unknown.exists()


@pytest.mark.parametrize(
    "damage",
    [
        missing_database,
        empty_database,
        garbage_database,
        damaged_pages,
    ],
)
def test_a_lost_database_is_refused(
    data_dir: Path, ids: dict[str, str], damage: Callable[[Path], None]
) -> None:
    """Only it knows the old messages: nothing is touched, and the line says what to do."""
    start(data_dir).close()
    damage(data_dir)
    before = legacy(data_dir)
    for _ in range(2):
        with pytest.raises(StorageUnavailable, match=r"restore it with its -wal file"):
            reindex(Storage(data_dir), lambda _: None)
        with pytest.raises(StorageUnavailable, match=r"restore it with its -wal file"):
            start(data_dir)
    assert legacy(data_dir) == before
    assert len(ids) == 5


def test_an_index_is_made_anew_with_the_old_rows(data_dir: Path, ids: dict[str, str]) -> None:
    """They keep their numbers, and rows that were lost are found in the new segments."""
    with closing(start(data_dir)) as store:
        new = add(store, b"new mail", "new")
        number = store.get(new).number
    with closing(sqlite3.connect(data_dir / "gomail.db")) as connection, connection:
        connection.execute("DELETE FROM message WHERE id = ?", [new])
    reindex(Storage(data_dir), lambda _: None)
    with closing(start(data_dir)) as store:
        assert stored(store) == expected(ids) | {new: b"new mail"}
        found = list(store.search(Query(oldest_first=True)))
        assert [each.number for each in found[:5]] == [1, 2, 3, 4, 5]
        assert found[5].number > number
        assert add(store, b"x", new_message_id(found[0].received_at)) not in ids.values()
