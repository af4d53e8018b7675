"""What is deleted is found in no file, and readers can't keep it for long."""

import random
import sqlite3
import time
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest
from support.store import add, files_with, records, start, stored

from app.errors import StorageUnavailable
from app.state.lock_file import locked
from app.storage.message import Reason
from app.storage.segments.spooled_body import LARGE_MESSAGE_BYTES
from app.storage.sqlite import erasing
from app.storage.sqlite.store import SQLiteStore


def planted(number: int) -> str:
    """Return a word that is in one message only: its sender, subject and bytes."""
    return f"planted-{number:04}-{random.Random(number).randbytes(6).hex()}"


def add_planted(store: SQLiteStore, number: int) -> str:
    word = planted(number)
    size = 2 * LARGE_MESSAGE_BYTES if number % 250 == 7 else 200 + number % 7 * 1000
    raw = f"Subject: {word}\r\n\r\n{word}".encode().ljust(size, b".") + word.encode()
    return add(store, raw, f"key{number}", f"{word}@sender", word)


@pytest.mark.parametrize("is_closed", [False, True])
def test_nothing_of_deleted_messages_is_left(
    store: SQLiteStore, data_dir: Path, is_closed: bool
) -> None:
    """Of 1,000 messages 100 are deleted: their words are in no file, all others in some."""
    ids = {number: add_planted(store, number) for number in range(1000)}
    gone = [*random.Random(1).sample(sorted(ids), 93), 7, 257, 400, 401, 402, 403, 404]
    kept = {number: message_id for number, message_id in ids.items() if number not in gone}
    before = stored(store)
    assert len(files_with(data_dir, planted(gone[0]).encode())) >= 2
    for at in range(0, len(gone), 10):
        store.remove([ids[number] for number in gone[at : at + 10]], Reason.REQUEST)
    store.erase()
    if is_closed:
        store.close()
    everything = b"".join(path.read_bytes() for path in data_dir.rglob("*") if path.is_file())
    assert [number for number in gone if planted(number).encode() in everything] == []
    assert [number for number in kept if planted(number).encode() not in everything] == []
    with closing(SQLiteStore(data_dir)) as other:
        assert stored(other) == {message_id: before[message_id] for message_id in kept.values()}
        assert other.statistics().messages == len(kept)
        assert other.statistics().bytes == sum(len(before[each]) for each in kept.values())


def test_a_reader_cannot_stop_it_for_long(
    store: SQLiteStore, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one keeps a transaction open erase() raises, and messages are stored meanwhile."""
    monkeypatch.setattr(erasing, "LOG_WAIT_SECONDS", 1)
    gone = add_planted(store, 1)
    with closing(sqlite3.connect(data_dir / "gomail.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM message").fetchone()
        store.remove([gone], Reason.REQUEST)
        began = time.monotonic()
        with pytest.raises(StorageUnavailable):
            store.erase()
        assert time.monotonic() - began < 10
        with locked(data_dir / "commit.lock", 1):
            pass
        kept = add_planted(store, 2)
        with closing(start(data_dir)) as other:  # nor is it a reason not to start
            assert list(stored(other)) == [kept]
    store.erase()
    assert files_with(data_dir, planted(1).encode()) == []


def test_commits_wait_no_longer_for_a_reader_than_a_moment(
    store: SQLiteStore, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt to empty the log gives the lock for commits back within half a second."""
    tries: list[float] = []

    def noted(path: Path, wait_seconds: float | None = None) -> AbstractContextManager[None]:
        tries.append(time.monotonic())
        return locked(path, wait_seconds)

    monkeypatch.setattr(erasing, "locked", noted)
    monkeypatch.setattr(erasing, "LOG_WAIT_SECONDS", 1)
    gone = add_planted(store, 1)
    with closing(sqlite3.connect(data_dir / "gomail.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM message").fetchone()
        store.remove([gone], Reason.REQUEST)
        with pytest.raises(StorageUnavailable):
            store.erase()
    # In a second it was tried more than once, so none took all of it.
    assert len(tries) > 3


def test_a_removal_that_was_not_erased_is_by_the_next_start(
    store: SQLiteStore, data_dir: Path
) -> None:
    """A start does what is left to be done."""
    gone, kept = add_planted(store, 1), add_planted(store, 2)
    store.remove([gone], Reason.RETENTION)
    store.close()
    assert files_with(data_dir, planted(1).encode()) != []
    with closing(start(data_dir)) as started:
        assert list(stored(started)) == [kept]
        assert started.statistics().deleted == {Reason.REQUEST: 0, Reason.RETENTION: 1}
    assert files_with(data_dir, planted(1).encode()) == []


def test_what_is_half_erased_is_erased_by_a_start(data_dir: Path) -> None:
    """A kill between two pieces of an erasure leaves no damage: nothing is moved to leftovers."""
    with closing(start(data_dir)) as store:
        kept, *gone = [add_planted(store, number) for number in range(3)]
        words = [planted(number).encode() for number in (1, 2)]
        store.remove(gone, Reason.REQUEST)
    [path] = [path for path in records(data_dir) if words[0] in path.read_bytes()]
    with path.open("rb+") as segment:
        for word in words:
            segment.seek(path.read_bytes().index(word) - 100)
            segment.write(bytes(150))
    with closing(start(data_dir)) as store:
        assert list(stored(store)) == [kept]
    assert [files_with(data_dir, word) for word in words] == [[], []]
    assert not (data_dir / "segments" / "leftovers").exists()
