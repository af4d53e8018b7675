"""Space comes back: segments without anything go, and what is left of others is copied."""

import shutil
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.store import add

from app.errors import MessageNotFound
from app.storage.interface import Query
from app.storage.message import Reason
from app.storage.segments import erasure
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore

BYTES = 20_000
LATER = datetime.now(UTC) + timedelta(days=1)


def content(number: int) -> bytes:
    return f"Subject: {number}\r\n\r\n".encode().ljust(BYTES, b"x")


def fill(data_dir: Path, count: int, name: str = "key") -> dict[int, str]:
    """Store messages by a process that ends, and return their ids."""
    with closing(create_store(data_dir)) as store:
        return {number: add(store, content(number), f"{name}-{number}") for number in range(count)}


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
        same = data_dir / "segments" / store._row(kept).segment
        store.remove(gone, Reason.REQUEST)
        store.erase()
    with closing(SQLiteStore(data_dir)) as store:
        store.forget_deleted(datetime(2020, 1, 1, tzinfo=UTC))
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
        assert store.complete().messages == 1
        assert store.read(message_id) == content(0)


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
        assert allocated(data_dir) < 0.2 * before
        for number, message_id in kept.items():
            assert store.read(message_id) == content(number)
            assert store.get(message_id) == rows[message_id]
    assert not any(path.read_bytes().count(b"Subject: 11\r") for path in files(data_dir))
    assert rebuilt(data_dir) == set(kept.values())


@pytest.mark.usefixtures("no_holes")
def test_a_copy_that_was_interrupted_does_no_harm(data_dir: Path) -> None:
    """A crash before the original is removed leaves two of each: one of them is erased."""
    stored = fill(data_dir, 200)
    [original] = files(data_dir)
    with closing(SQLiteStore(data_dir)) as store:
        store.remove(list(stored.values())[1:], Reason.REQUEST)
        saved = shutil.copy(original, data_dir / "saved")
        store.erase()
        assert not original.exists()
        shutil.move(saved, original)
    with closing(create_store(data_dir)) as store:
        store.complete()
        store.erase()
        assert store.read(stored[0]) == content(0)
        assert sum(content(0) in path.read_bytes() for path in files(data_dir)) == 1
    assert rebuilt(data_dir) == {stored[0]}


@pytest.mark.usefixtures("no_holes")
def test_a_copy_is_deleted_like_its_original(data_dir: Path) -> None:
    """Nothing of a message is left that was copied before it was deleted."""
    stored = fill(data_dir, 200)
    with closing(SQLiteStore(data_dir)) as store:
        store.remove(list(stored.values())[1:], Reason.REQUEST)
        store.erase()
        store.remove([stored[0]], Reason.REQUEST)
        store.erase()
        with pytest.raises(MessageNotFound):
            store.read(stored[0])
    assert not any(b"Subject: 0\r" in path.read_bytes() for path in files(data_dir))
    assert rebuilt(data_dir) == set()
