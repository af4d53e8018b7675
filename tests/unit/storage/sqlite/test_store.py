import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError
from support.store import AT, add, files_with, records, start, stored
from support.together import outputs_of_all

from app.errors import MessageCorrupt, MessageNotFound, StorageUnavailable
from app.storage.ids import new_message_id
from app.storage.interface import Query
from app.storage.message import Envelope, Message, Reason
from app.storage.segments.spooled_body import LARGE_MESSAGE_BYTES
from app.storage.sqlite.completion import Completed
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore


def segments(data_dir: Path) -> list[Path]:
    return sorted((data_dir / "segments").iterdir())


def rows(data_dir: Path) -> int:
    with sqlite3.connect(data_dir / "gomail.db") as connection:
        (count,) = connection.execute("SELECT count(*) FROM message").fetchone()
    connection.close()
    return int(count)


def test_everything_is_for_the_owner_alone(data_dir: Path) -> None:
    """Directories are 0700 and files 0600, with a umask that would allow everything."""
    old = os.umask(0)
    try:
        store = create_store(data_dir)
        add(store, b"small", "1")
        add(store, b"x" * 2 * LARGE_MESSAGE_BYTES, "2")
    finally:
        os.umask(old)
    modes = {path: path.stat().st_mode & 0o777 for path in [data_dir, *data_dir.rglob("*")]}
    store.close()
    assert len(modes) >= 6
    assert {mode for path, mode in modes.items() if path in (data_dir, data_dir / "segments")} == {
        0o700
    }
    assert {mode for path, mode in modes.items() if path.suffix} == {0o600}


def test_messages_outlive_the_process(data_dir: Path) -> None:
    """A store opened again on the same directory has what the first one stored."""
    first = create_store(data_dir)
    message_id = add(first, b"bytes")
    first.close()
    second = create_store(data_dir)
    second.complete()
    assert second.read(message_id) == b"bytes"
    second.close()


def test_two_stores_share_a_directory(store: SQLiteStore, data_dir: Path) -> None:
    """Each sees the other's messages, and a key that one knows is a duplicate for the other."""
    other = create_store(data_dir)
    mine, theirs = add(store, b"mine", "1"), add(other, b"theirs", "2")
    assert (store.read(theirs), other.read(mine)) == (b"theirs", b"mine")
    assert add(other, b"mine", "1") == mine
    assert add(store, b"theirs", "2") == theirs
    assert store.count(Query()) == 2
    other.close()


@pytest.mark.parametrize("size", [100, LARGE_MESSAGE_BYTES + 1])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damaged_bytes_are_never_returned(
    store: SQLiteStore, data_dir: Path, size: int, damage: str
) -> None:
    """One changed bit or a missing end is MessageCorrupt; a missing file can't be read."""
    message_id = add(store, b"x" * size)
    (path,) = segments(data_dir)
    if damage == "remove":
        path.unlink()
    else:
        raw = path.read_bytes()
        last = raw.rindex(b"x" * size) + size - 1
        path.write_bytes(raw[:last] if damage == "cut" else raw[:last] + b"y" + raw[last + 1 :])
    with pytest.raises(StorageUnavailable if damage == "remove" else MessageCorrupt) as caught:
        store.read(message_id)
    assert str(data_dir) not in str(caught.value)


@pytest.mark.parametrize("is_large", [False, True])
def test_a_completion_spares_a_store_that_serves(
    store: SQLiteStore, data_dir: Path, is_large: bool
) -> None:
    """What another store takes in or writes isn't touched under its hands."""
    add(store, b"before", "before")
    body = store.new_body()
    raw = b"x" * (LARGE_MESSAGE_BYTES + 1 if is_large else 10)
    body.write(raw)
    before = {path: path.read_bytes() for path in records(data_dir)}
    with closing(create_store(data_dir)) as starting:
        assert starting.complete() == Completed()
    assert {path: path.read_bytes() for path in records(data_dir)} == before
    message = Message(new_message_id(AT), AT, Envelope("a@b", "c@d"), "", "key")
    assert store.read(store.add(message, body).message_id) == raw


def test_threads_append_to_one_segment(store: SQLiteStore, data_dir: Path) -> None:
    """16 threads that store small messages at once use one file, and no byte of it is lost."""
    with ThreadPoolExecutor(16) as pool:
        stored = list(pool.map(lambda n: add(store, b"%03d" % n, str(n)), range(100)))
    assert len(segments(data_dir)) == 1
    assert [store.read(message_id) for message_id in stored] == [b"%03d" % n for n in range(100)]


def test_a_large_duplicate_leaves_no_segment(store: SQLiteStore, data_dir: Path) -> None:
    """The bytes streamed for a message that was stored before are removed at once."""
    add(store, b"1" * 2 * LARGE_MESSAGE_BYTES)
    add(store, b"2" * 2 * LARGE_MESSAGE_BYTES)
    [path] = segments(data_dir)
    assert b"1" * 2 * LARGE_MESSAGE_BYTES in path.read_bytes()


def test_a_failing_directory_is_unavailable_and_recovers(
    store: SQLiteStore, data_dir: Path
) -> None:
    """While the segments can't be made nothing is stored, and afterwards all works again."""
    (data_dir / "segments").rename(data_dir / "away")
    for raw in (b"small", b"x" * 2 * LARGE_MESSAGE_BYTES):
        with pytest.raises(StorageUnavailable) as caught:
            add(store, raw)
        assert isinstance(caught.value.__cause__, OSError)
    assert rows(data_dir) == 0

    (data_dir / "away").rename(data_dir / "segments")
    assert store.read(add(store, b"small")) == b"small"


def test_a_failing_database_is_unavailable(store: SQLiteStore, data_dir: Path) -> None:
    """Without its table every method says so, the bytes of a large message are removed."""
    message_id = add(store, b"x")
    connection = sqlite3.connect(data_dir / "gomail.db")
    connection.execute("ALTER TABLE message RENAME TO away")
    connection.commit()
    connection.close()

    for failing in (
        lambda: add(store, b"y" * 2 * LARGE_MESSAGE_BYTES, "2"),
        lambda: store.get(message_id),
        lambda: store.read(message_id),
        lambda: list(store.search(Query())),
        lambda: store.count(Query()),
        store.complete,
        store.check,
    ):
        with pytest.raises(StorageUnavailable) as caught:
            failing()
        assert str(data_dir) not in str(caught.value)
    assert len(segments(data_dir)) == 1


def test_a_place_that_is_no_directory_is_unavailable(tmp_path: Path) -> None:
    """A data directory below a file can't be opened."""
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailable):
        create_store(tmp_path / "file" / "data")


def test_rows_removed_by_hand_are_gone(store: SQLiteStore, data_dir: Path) -> None:
    """The row is what makes a message exist; another one with the same key is new."""
    message_id = add(store, b"x")
    connection = sqlite3.connect(data_dir / "gomail.db")
    connection.execute("DELETE FROM message")
    connection.commit()
    connection.close()
    with pytest.raises(MessageNotFound):
        store.read(message_id)
    assert add(store, b"x") != message_id


OPEN_AND_ADD = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path
from app.storage.ids import new_message_id
from app.storage.message import Envelope, Message
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore
# at once
store = create_store(Path(sys.argv[1]))
store.complete()
receipts = []
for key in ("same", sys.argv[2]):
    at = datetime.now(UTC)
    body = store.new_body()
    body.write(key.encode())
    receipt = store.add(Message(new_message_id(at), at, Envelope("a@b", "c@d"), "", key), body)
    receipts.append([receipt.message_id, receipt.duplicate])
store.close()
print(json.dumps(receipts))
"""


def test_processes_that_start_together_succeed(data_dir: Path) -> None:
    """Eight processes open a new directory at once, and store one common message once."""
    arguments = [[str(data_dir), str(number)] for number in range(8)]
    outputs = outputs_of_all(OPEN_AND_ADD, arguments)
    receipts = [json.loads(output) for output in outputs]
    common = [same for same, _own in receipts]
    assert sorted(duplicate for _id, duplicate in common) == [False] + [True] * 7
    assert len({message_id for message_id, _duplicate in common}) == 1
    assert not any(duplicate for _same, (_id, duplicate) in receipts)

    store = create_store(data_dir)
    assert store.count(Query()) == 9
    stored = sorted(store.read(each.message_id) for each in store.search(Query()))
    assert stored == [*(str(number).encode() for number in range(8)), b"same"]
    store.close()


def test_times_come_back_in_utc(store: SQLiteStore) -> None:
    """A moment given in another zone is the same moment, exact to the millisecond."""
    at = datetime.fromisoformat("2026-03-01T01:30:00.123+05:30")
    message = Message(new_message_id(at), at, Envelope("a@b", "c@d"), "", "key")
    store.add(message, store.new_body())
    stored = store.get(message.message_id).received_at
    assert stored == at
    assert stored.utcoffset() == timedelta(0)


@pytest.mark.parametrize("raw", [b"small", b"x" * 2 * LARGE_MESSAGE_BYTES])
def test_a_failed_commit_leaves_nothing(store: SQLiteStore, data_dir: Path, raw: bytes) -> None:
    """Who was told 503 finds no message after the next start either; others stay as they are."""
    kept = add(store, b"kept", "kept")
    with failing_inserts(data_dir), pytest.raises(StorageUnavailable):
        add(store, raw)
    assert files_with(data_dir, raw) == []
    after = add(store, b"after", "after")
    store.close()
    with closing(start(data_dir)) as started:
        assert stored(started) == {kept: b"kept", after: b"after"}


def test_a_failed_removal_leaves_the_message(store: SQLiteStore, data_dir: Path) -> None:
    """Who was told that it couldn't be deleted finds it after the next start, too."""
    first, second, third = (add(store, key.encode(), key) for key in "123")
    with failing_commits(), pytest.raises(StorageUnavailable):
        store.remove([first], Reason.REQUEST)
    assert store.remove([second], Reason.REQUEST) == [second]
    with failing_commits(), pytest.raises(StorageUnavailable):
        store.remove([first], Reason.REQUEST)
    assert stored(store) == {first: b"1", third: b"3"}
    store.close()
    with closing(start(data_dir)) as started:
        assert stored(started) == {first: b"1", third: b"3"}


@contextmanager
def failing_inserts(data_dir: Path) -> Iterator[None]:
    """While it lasts, no message gets a row."""
    with closing(sqlite3.connect(data_dir / "gomail.db", isolation_level=None)) as connection:
        connection.execute(
            "CREATE TRIGGER broken AFTER INSERT ON message"
            " BEGIN SELECT raise(ABORT, 'disk I/O error'); END"
        )
        try:
            yield
        finally:
            connection.execute("DROP TRIGGER broken")


@contextmanager
def failing_commits() -> Iterator[None]:
    """While it lasts, no transaction can be committed."""

    def fail(_connection: Connection) -> None:
        raise OperationalError("COMMIT", None, sqlite3.OperationalError("disk I/O error"))

    event.listen(Engine, "commit", fail)
    try:
        yield
    finally:
        event.remove(Engine, "commit", fail)


def test_nothing_is_stored_in_a_directory_that_was_removed(
    store: SQLiteStore, data_dir: Path
) -> None:
    """Nor in one that was moved: its open files would take what no start finds, repeats too."""
    add(store, b"first", "1")
    shutil.rmtree(data_dir)
    for key in ("1", "2"):
        with pytest.raises(StorageUnavailable):
            add(store, b"more", key)
    assert not data_dir.exists()


def test_a_directory_that_was_moved_and_comes_back_is_used_again(
    store: SQLiteStore, data_dir: Path
) -> None:
    """With all that it had."""
    add(store, b"first", "1")
    data_dir.rename(data_dir.with_name("elsewhere"))
    with pytest.raises(StorageUnavailable):
        add(store, b"second", "2")
    data_dir.with_name("elsewhere").rename(data_dir)
    add(store, b"second", "2")
    assert {store.read(each.message_id) for each in store.search(Query())} == {b"first", b"second"}


def test_a_directory_that_takes_the_place_of_another_is_used(
    store: SQLiteStore, data_dir: Path
) -> None:
    """The first message meets the change; what is stored then can be found there."""
    add(store, b"first", "1")
    data_dir.rename(data_dir.with_name("elsewhere"))
    create_store(data_dir).close()
    with pytest.raises(StorageUnavailable):
        add(store, b"second", "2")
    add(store, b"second", "2")
    with closing(SQLiteStore(data_dir)) as found:
        assert [found.read(each.message_id) for each in found.search(Query())] == [b"second"]
