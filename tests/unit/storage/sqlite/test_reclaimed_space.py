"""Space comes back: segments without anything go, and what is left of others is copied."""

import errno
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.store import add

from app.errors import MessageNotFound, StorageUnavailable
from app.storage.delivery import DeliveryQuery
from app.storage.interface import Query
from app.storage.message import Reason
from app.storage.segments import erasure
from app.storage.sqlite import erasing
from app.storage.sqlite.compaction import Compaction
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore

BYTES = 20_000
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
LATER = datetime.now(UTC) + timedelta(days=1)


def content(number: int) -> bytes:
    return f"Subject: {number}\r\n\r\n".encode().ljust(BYTES, b"x")


def fill(data_dir: Path, count: int, name: str = "key") -> dict[int, str]:
    """Store messages by a process that ends, and return their ids."""
    with closing(create_store(data_dir)) as store:
        return {
            number: add(store, content(number), f"{name}-{number}", endpoints=("app",))
            for number in range(count)
        }


def files(data_dir: Path) -> list[Path]:
    return [path for path in (data_dir / "segments").iterdir() if path.is_file()]


def allocated(data_dir: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in files(data_dir))


@pytest.fixture
def no_holes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that can't punch holes."""
    monkeypatch.setattr(erasure, "_punch", lambda *_: False)


def test_segments_go_with_the_last_that_is_known_of_them(data_dir: Path) -> None:
    """What was deleted is forgotten, its records and those of its deletion go; others stay."""
    gone = list(fill(data_dir, 20).values())
    kept = fill(data_dir, 1, "kept")[0]
    with closing(SQLiteStore(data_dir)) as store:
        same = data_dir / "segments" / store._reading._row(kept).segment
        store.remove(gone, Reason.REQUEST)
        store.erase()
    with closing(SQLiteStore(data_dir)) as store:
        store.forget_deleted(LONG_AGO)
        assert len(files(data_dir)) == 2  # the erased messages have nothing that is still needed
        store.forget_deleted(LATER)
        assert files(data_dir) == [same]
        assert store.read(kept) == content(0)
    assert not rebuilt(data_dir) - {kept}


def rebuilt(data_dir: Path) -> set[str]:
    """Return the messages that a start finds without the database."""
    for path in data_dir.glob("gomail.db*"):
        path.unlink()
    with closing(create_store(data_dir)) as store:
        return {message.message_id for message in store.search(Query())}


def test_a_segment_that_is_written_to_stays(data_dir: Path) -> None:
    """A process goes on writing to its segment, though nothing is left in it."""
    with closing(create_store(data_dir)) as store, closing(SQLiteStore(data_dir)) as other:
        message_id = add(store, b"one", "1")
        other.remove([message_id], Reason.REQUEST)
        other.erase()
        other.forget_deleted(LATER)
        second = add(store, b"two", "2")
        assert store.read(second) == b"two"
    assert rebuilt(data_dir) == {second}


def test_what_is_not_indexed_is_not_spent(data_dir: Path) -> None:
    """A message whose row was lost keeps its segment."""
    [message_id] = fill(data_dir, 1).values()
    with closing(create_store(data_dir)) as store:
        with store._engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM message")
        store.forget_deleted(LATER)
        assert store.read(message_id) == content(0)


def clean_up(store: SQLiteStore, hours: float = 0) -> None:
    """Do what retention does every hour, as it were in `hours`."""
    store._erasing._compaction._clock = lambda: time.time() + hours * 3600
    store.forget_deleted(LONG_AGO)


@pytest.mark.usefixtures("no_holes")
def test_without_holes_what_is_left_is_copied(data_dir: Path) -> None:
    """When most of a segment is erased and no space came back, the rest moves, byte for byte."""
    stored = fill(data_dir, 200)
    before = allocated(data_dir)
    kept = {number: message_id for number, message_id in stored.items() if number % 10 == 0}
    with closing(SQLiteStore(data_dir)) as store:
        rows = {each.message_id: each for each in store.search(Query())}
        store.remove(
            [each for each in stored.values() if each not in kept.values()], Reason.REQUEST
        )
        store.erase()
        assert allocated(data_dir) >= before
        clean_up(store)
        clean_up(store, 1.1)
        assert allocated(data_dir) < 0.2 * before
        for number, message_id in kept.items():
            assert store.read(message_id) == content(number)
            assert store.get(message_id) == rows[message_id]
    assert not any(path.read_bytes().count(b"Subject: 11\r") for path in files(data_dir))
    assert rebuilt(data_dir) == set(kept.values())


@pytest.fixture
def copied(data_dir: Path, no_holes: None) -> tuple[Path, str]:
    """Return a segment, and the only message left in it, which was copied."""
    stored = fill(data_dir, 200)
    [original] = files(data_dir)
    with closing(SQLiteStore(data_dir)) as store:
        store.remove(list(stored.values())[1:], Reason.REQUEST)
        store.erase()
        clean_up(store)
    return original, stored[0]


def copies(data_dir: Path) -> int:
    return sum(content(0) in path.read_bytes() for path in files(data_dir))


def test_the_original_stays_for_an_hour(copied: tuple[Path, str], data_dir: Path) -> None:
    """Who copies the directory file by file, and doesn't know of the copy, has the original."""
    original, message_id = copied
    with closing(create_store(data_dir)) as store:
        store.complete()
        clean_up(store, 0.9)
        assert copies(data_dir) == 2
        for path in files(data_dir):
            if path != original:
                path.rename(path.with_suffix(".elsewhere"))
    assert rebuilt(data_dir) == {message_id}


def test_a_copy_has_the_endpoints(copied: tuple[Path, str], data_dir: Path) -> None:
    """When the original is gone, an index made anew has the message's delivery all the same."""
    _, message_id = copied
    with closing(SQLiteStore(data_dir)) as store:
        clean_up(store, 1.1)
    assert copies(data_dir) == 1
    assert rebuilt(data_dir) == {message_id}
    with closing(SQLiteStore(data_dir)) as store:
        [delivery] = store.deliveries.find(DeliveryQuery()).deliveries
        assert (delivery.message_id, delivery.endpoint) == (message_id, "app")


def test_a_copy_is_deleted_with_its_original(copied: tuple[Path, str], data_dir: Path) -> None:
    """Nothing of a message is left, wherever it was copied before it was deleted."""
    _, message_id = copied
    with closing(SQLiteStore(data_dir)) as store:
        store.remove([message_id], Reason.REQUEST)
        store.erase()
        with pytest.raises(MessageNotFound):
            store.read(message_id)
    assert copies(data_dir) == 0
    assert rebuilt(data_dir) == set()


def test_a_reader_of_the_database_makes_no_difference(
    copied: tuple[Path, str], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the log can't be emptied for a while, the original still goes with its copy."""
    monkeypatch.setattr(erasing, "LOG_WAIT_SECONDS", 0.1)
    _, message_id = copied
    with (
        closing(SQLiteStore(data_dir)) as store,
        closing(sqlite3.connect(data_dir / "gomail.db", isolation_level=None)) as reader,
    ):
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM message").fetchone()
        store.remove([message_id], Reason.REQUEST)
        with pytest.raises(StorageUnavailable):
            store.erase()
        assert copies(data_dir) == 0


def test_of_copies_that_lost_their_rows_one_is_kept(
    copied: tuple[Path, str], data_dir: Path
) -> None:
    """An index made anew has one row for both, and the other one is erased."""
    _, message_id = copied
    assert rebuilt(data_dir) == {message_id}
    with closing(create_store(data_dir)) as store:
        store.erase()
        assert store.read(message_id) == content(0)
    assert copies(data_dir) == 1


def test_a_copy_that_gets_no_rows_is_taken_back(
    data_dir: Path, no_holes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the rows can't be changed, the copies go, and it is tried again."""
    stored = fill(data_dir, 200)
    with closing(SQLiteStore(data_dir)) as store:
        store.remove(list(stored.values())[1:], Reason.REQUEST)
        store.erase()
        with monkeypatch.context() as patched:
            patched.setattr(Compaction, "_point_to_copies", fail)
            with pytest.raises(StorageUnavailable):
                clean_up(store)
        assert copies(data_dir) == 1
        clean_up(store)
        assert copies(data_dir) == 2
        assert store.read(stored[0]) == content(0)


def fail(*_: object) -> None:
    raise OSError(errno.EIO, "a failure")


def test_messages_that_have_no_row_yet_are_completed_before_others_are_forgotten(
    data_dir: Path,
) -> None:
    """A record whose row was lost is dead when its message was deleted by its key, for ever."""
    [first] = fill(data_dir, 1).values()
    with closing(create_store(data_dir)) as store:
        with store._engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM message")
        again = add(store, content(0), "key-0")
        store.remove([again], Reason.REQUEST)
        store.erase()
        store.forget_deleted(LATER)
    assert first != again
    assert rebuilt(data_dir) == set()
    assert copies(data_dir) == 0
