"""The index is made anew only when nobody uses it, and all at once."""

import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from support.killed import Report, killed_after
from support.store import add, start, stored

from app.errors import StorageUnavailable
from app.settings import Storage
from app.storage.preparation import reindex
from app.storage.sqlite.creation import create_store, has_store
from app.storage.sqlite.rebuilding import identity
from app.storage.sqlite.store import SQLiteStore


def test_it_is_refused_while_others_use_the_old_one(data_dir: Path) -> None:
    """The old one stays as it is, and so does what is stored then; afterwards it works."""
    store = create_store(data_dir)
    first = add(store, b"first", "1")
    before = identity(data_dir / "gomail.db")
    with pytest.raises(StorageUnavailable, match=r"stop the server first"):
        reindex(Storage(data_dir), lambda _: None)
    (data_dir / "gomail.db").rename(data_dir / "away")
    with pytest.raises(StorageUnavailable, match=r"stop the server first"):
        start(data_dir)
    (data_dir / "away").rename(data_dir / "gomail.db")
    second = add(store, b"second", "2")
    assert identity(data_dir / "gomail.db") == before
    store.close()
    reindex(Storage(data_dir), lambda _: None)
    assert identity(data_dir / "gomail.db") != before
    with closing(SQLiteStore(data_dir)) as store:
        assert stored(store) == {first: b"first", second: b"second"}


def test_a_failure_leaves_the_old_one(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was made of the new one is left aside, and the next time made from nothing."""
    with closing(create_store(data_dir)) as store:
        message_id = add(store, b"mail")
    before = identity(data_dir / "gomail.db")

    def fail(*_arguments: object) -> None:
        raise OSError(5, "broken")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", fail)
        with pytest.raises(StorageUnavailable):
            reindex(Storage(data_dir), lambda _: None)
    assert identity(data_dir / "gomail.db") == before
    with closing(SQLiteStore(data_dir)) as store:
        assert stored(store) == {message_id: b"mail"}
    reindex(Storage(data_dir), lambda _: None)
    with closing(start(data_dir)) as store:
        assert stored(store) == {message_id: b"mail"}
    assert sorted(path.name for path in data_dir.glob("gomail.db*")) == ["gomail.db"]


def test_progress_is_all_bytes(data_dir: Path) -> None:
    """What is told adds up to the size of the segments."""
    with closing(create_store(data_dir)) as store:
        for number in range(3):
            add(store, b"x" * 100, str(number))
        add(store, b"x" * 3_000_000, "large")
    told: list[int] = []
    completed = reindex(Storage(data_dir), told.append)
    assert (completed.messages, completed.deletions) == (4, 0)
    assert sum(told) == sum(path.stat().st_size for path in (data_dir / "segments").iterdir())


def test_a_file_that_takes_the_place_of_another_is_known(data_dir: Path, tmp_path: Path) -> None:
    """Though it gets the same inode, as a rule: 20 files that replace one another all differ."""
    create_store(data_dir).close()
    shutil.copy(data_dir / "gomail.db", tmp_path / "copy")
    seen = {identity(data_dir / "gomail.db")}
    inodes = set()
    for _ in range(20):
        (data_dir / "gomail.db").unlink()
        shutil.copy(tmp_path / "copy", data_dir / "gomail.db")
        inodes.add((data_dir / "gomail.db").stat().st_ino)
        seen.add(identity(data_dir / "gomail.db"))
    if len(inodes) < 20 and os.statvfs(data_dir).f_files:
        assert len(seen) == 21


def test_a_killed_user_is_none(data_dir: Path) -> None:
    """The lock of a process that was killed keeps nobody out."""
    create_store(data_dir).close()

    def use(report: Report) -> None:
        report(add(SQLiteStore(data_dir), b"mail"))

    [message_id] = killed_after(use)
    reindex(Storage(data_dir), lambda _: None)
    with closing(SQLiteStore(data_dir)) as store:
        assert stored(store) == {message_id: b"mail"}


def test_a_store_without_its_database_is_one(data_dir: Path) -> None:
    """Commands must not say that nothing is stored, when there is mail."""
    assert not has_store(data_dir)
    with closing(create_store(data_dir)) as store:
        add(store, b"mail")
    assert has_store(data_dir)
    (data_dir / "gomail.db").unlink()
    assert has_store(data_dir)
