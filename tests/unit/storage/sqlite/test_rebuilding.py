"""The index is made anew only when nobody uses it, and all at once."""

import fcntl
import os
import shutil
import signal
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event
from support.killed import Report, killed_after
from support.store import add, files_with, start, stored

from app.errors import StorageUnavailable
from app.settings import Storage
from app.storage.message import Reason
from app.storage.preparation import reindex
from app.storage.sqlite import rebuilding
from app.storage.sqlite.creation import create_store, has_store
from app.storage.sqlite.rebuilding import identity, why_unusable
from app.storage.sqlite.store import SQLiteStore

SHARED_LOCK = 510, 0x40000002  # https://www.sqlite.org/src/file/src/os.h: SHARED_SIZE, SHARED_FIRST


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


def leave_unfinished(data_dir: Path) -> list[Path]:
    """Return what a `store reindex` leaves that is killed before the new index replaces the old."""

    def die(_report: Report) -> None:
        rebuilding._replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # in a child only
        reindex(Storage(data_dir), lambda _: None)

    killed_after(die)
    database = (data_dir / "gomail.db").resolve()
    for suffix in ("-wal", "-shm", "-journal"):
        database.with_name(f"gomail.db.new{suffix}").write_bytes(b"planted")
    return sorted(database.parent.glob("gomail.db.new*"))


@pytest.mark.parametrize("is_linked", [False, True])
def test_a_start_removes_what_a_killed_one_has_left(
    data_dir: Path, tmp_path: Path, is_linked: bool
) -> None:
    """It has subjects and senders, which must be gone when their messages are deleted."""
    with closing(create_store(data_dir)) as store:
        message_id = add(store, b"mail", sender="planted@sender", subject="planted")
    if is_linked:
        (tmp_path / "elsewhere").mkdir()
        (data_dir / "gomail.db").rename(tmp_path / "elsewhere" / "gomail.db")
        (data_dir / "gomail.db").symlink_to(tmp_path / "elsewhere" / "gomail.db")
    left = leave_unfinished(data_dir)
    assert len(left) == 4
    assert b"planted@sender" in left[0].read_bytes()
    with closing(start(data_dir)) as store:
        store.remove([message_id], Reason.REQUEST)
        store.erase()
        assert not [path for path in left if path.exists()]
        assert files_with(data_dir, b"planted") == []


def test_a_directory_of_that_name_is_left_alone(data_dir: Path) -> None:
    """It doesn't keep anybody from starting."""
    create_store(data_dir).close()
    (data_dir / "gomail.db.new").mkdir()
    create_store(data_dir).close()
    assert (data_dir / "gomail.db.new").is_dir()


def may_be_written_by_others(database: str) -> bool:
    """Return whether another process gets the lock that SQLite takes to remove the log."""
    child = os.fork()
    if child == 0:
        try:
            descriptor = os.open(database, os.O_RDWR)
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, *SHARED_LOCK)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def test_no_lock_of_sqlite_is_dropped(data_dir: Path) -> None:
    """Nothing opens and closes a database that SQLite has open: each transaction keeps its lock."""
    seen = []

    def note(connection: Connection) -> None:
        path = connection.exec_driver_sql("PRAGMA database_list").all()[0][2]
        seen.append((Path(path).name, may_be_written_by_others(path)))

    event.listen(Engine, "commit", note)
    try:
        create_store(data_dir).close()
        (data_dir / "generation").unlink()
        assert why_unusable(data_dir) is None
    finally:
        event.remove(Engine, "commit", note)
    assert {name for name, _ in seen} == {"gomail.db", "gomail.db.new"}
    assert [each for each in seen if each[1]] == []


@pytest.mark.parametrize("size", [1, 20, 99])
def test_less_than_a_header_is_no_database(data_dir: Path, size: int) -> None:
    """However little is left of it, a start makes it anew."""
    with closing(create_store(data_dir)) as store:
        message_id = add(store, b"mail")
    os.truncate(data_dir / "gomail.db", size)
    with closing(start(data_dir)) as store:
        assert stored(store) == {message_id: b"mail"}
