"""A gomail.db that lacks what was acknowledged, beside segments that have it."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest
from app.storage.segments.sweep import Leftover, kept_leftovers
from support.store import add

from app.errors import StorageUnavailable
from app.storage.interface import Query
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore


@pytest.fixture
def restored(data_dir: Path, tmp_path: Path) -> Path:
    """Return a directory whose gomail.db is from before its second message."""
    with closing(create_store(data_dir)) as store:
        add(store, b"in the backup", "1")
    shutil.copy(data_dir / "gomail.db", tmp_path / "backup.db")
    with closing(create_store(data_dir)) as store:
        add(store, b"after it", "2")
    for path in data_dir.glob("gomail.db*"):
        path.unlink()
    shutil.copy(tmp_path / "backup.db", data_dir / "gomail.db")
    return data_dir


def contents(directory: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in directory.rglob("*") if path.is_file())


def start(data_dir: Path) -> list[Leftover]:
    """Do with the store what a start does."""
    with closing(create_store(data_dir)) as store:
        return store.sweep()


def test_an_older_database_is_refused(restored: Path) -> None:
    """Not a byte of the mail it lacks is touched, and the line says what to do."""
    before = contents(restored / "segments")
    for _ in range(2):
        with pytest.raises(StorageUnavailable, match=r"put back the newer gomail\.db"):
            start(restored)
    assert contents(restored / "segments") == before == [b"after it", b"in the backup"]


def test_who_starts_all_the_same_loses_no_bytes(restored: Path) -> None:
    """Without the note of the last commit, what no row names is kept, for good."""
    (restored / "commit.lock").unlink()
    [leftover] = start(restored)
    kept = restored / "segments" / "leftovers"
    assert kept_leftovers(restored / "segments") == [leftover]
    assert contents(kept) == [b"after it"]
    assert {path.stat().st_mode & 0o777 for path in kept.iterdir()} == {0o600}
    assert kept.stat().st_mode & 0o777 == 0o700
    with closing(create_store(restored)) as store:
        store.sweep()
        add(store, b"new", "3")
        assert sorted(store.read(row.message_id) for row in store.search(Query())) == [
            b"in the backup",
            b"new",
        ]
    assert start(restored) == []
    assert contents(kept) == [b"after it"]


def test_a_tail_is_kept_too(data_dir: Path) -> None:
    """The bytes behind the last row of a segment go to a file of their own, whole."""
    with closing(create_store(data_dir)) as store:
        message_id = add(store, b"a row", "1")
    [segment] = (data_dir / "segments").iterdir()
    with segment.open("ab") as file:
        file.write(b"and more")
    (data_dir / "commit.lock").unlink()
    [leftover] = start(data_dir)
    assert leftover == Leftover(len(b"and more"), f"{segment.name}.from-5")
    assert (data_dir / "segments" / "leftovers" / f"{segment.name}.from-5").read_bytes() == (
        b"and more"
    )
    with closing(create_store(data_dir)) as store:
        assert store.read(message_id) == b"a row"


def test_what_a_crash_leaves_is_removed_and_told(data_dir: Path) -> None:
    """The last commit is in the database, so the rest was never acknowledged."""
    with closing(create_store(data_dir)) as store:
        add(store, b"a row", "1")
    [segment] = (data_dir / "segments").iterdir()
    with segment.open("ab") as file:
        file.write(b"torn")
    assert start(data_dir) == [Leftover(len(b"torn"))]
    assert segment.read_bytes() == b"a row"
    assert start(data_dir) == []


def test_the_last_message_may_be_removed(data_dir: Path) -> None:
    """`flask gomail check` does so each time; the next start finds nothing wrong."""
    with closing(create_store(data_dir)) as store:
        ids = [add(store, key.encode(), key) for key in "123"]
        for message_id in reversed(ids):
            store.remove(message_id)
            start(data_dir)


def test_a_damaged_note_counts_as_none(data_dir: Path) -> None:
    """What was torn by a power cut refuses no start."""
    with closing(create_store(data_dir)) as store:
        add(store, b"a row", "1")
    for note in (b"", b"\xff" * 36, bytes(36), b"0190"):
        (data_dir / "commit.lock").write_bytes(note)
        assert start(data_dir) == []


def test_missing_segments_are_counted(data_dir: Path) -> None:
    """With the number of their messages; others aren't named."""
    with closing(create_store(data_dir)) as store:
        add(store, b"one", "1")
        add(store, b"two", "2")
    [lost] = (data_dir / "segments").iterdir()
    with closing(SQLiteStore(data_dir)) as store:
        add(store, b"three", "3")
        assert store.missing_segments() == {}
        lost.unlink()
        assert store.missing_segments() == {lost.name: 2}
