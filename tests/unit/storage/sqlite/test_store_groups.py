"""What SQLiteStore makes of a group."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.server import wait_for

from app.errors import StorageUnavailable
from app.state.lock_file import locked
from app.storage.ids import new_message_id
from app.storage.interface import Query
from app.storage.message import Envelope, Message, Receipt
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore

AT = datetime(2026, 3, 1, tzinfo=UTC)


class Batches:
    """A StoreRecorder."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.failed = 0

    def commit(self, batch_size: int) -> None:
        self.sizes.append(batch_size)

    def failed_add(self) -> None:
        self.failed += 1

    def check(self, *, succeeded: bool) -> None:
        raise AssertionError(f"nobody asked: {succeeded}")


@pytest.fixture
def batches() -> Batches:
    return Batches()


@pytest.fixture
def store(tmp_path: Path, batches: Batches) -> Iterator[SQLiteStore]:
    create_store(tmp_path / "data").close()
    store = SQLiteStore(tmp_path / "data", batches)
    yield store
    store.close()


def add(store: SQLiteStore, raw: bytes, key: str, subject: str = "") -> Receipt:
    body = store.new_body()
    body.write(raw)
    return store.add(Message(new_message_id(AT), AT, Envelope("a@b", "c@d"), subject, key), body)


def test_the_batches_sum_up_to_what_was_taken(store: SQLiteStore, batches: Batches) -> None:
    """Of 16 threads' messages, repeats and bad ones, each taken one is counted once."""
    barrier = threading.Barrier(16)

    def arrive(number: int) -> bool:
        barrier.wait()
        if number % 4 == 3:
            with pytest.raises(UnicodeEncodeError):
                add(store, b"bad", f"bad{number}", "\udc80")
            return False
        add(store, b"good", str(number % 8))
        return True

    with ThreadPoolExecutor(16) as pool:
        taken = sum(pool.map(arrive, range(16)))
    assert taken == 12
    assert sum(batches.sizes) == taken
    assert batches.failed == 0
    assert store.count(Query()) == 6


@contextmanager
def unsynced(path: Path) -> Iterator[None]:
    """Put a pipe in the place of the writer's descriptor: it can be written, but not synced."""
    number = next(
        int(link.name)
        for link in Path("/proc/self/fd").iterdir()
        if link.is_symlink() and link.readlink() == path
    )
    reader, pipe = os.pipe()
    os.dup2(pipe, number)
    os.close(pipe)
    yield
    os.close(reader)


def test_a_sync_that_fails_fails_the_whole_group(
    store: SQLiteStore, batches: Batches, tmp_path: Path
) -> None:
    """Nothing of it is visible, its neighbours are stored, and so is the next message."""
    kept = add(store, b"kept", "kept")
    (path,) = (tmp_path / "data" / "segments").iterdir()
    with ExitStack() as held, ThreadPoolExecutor(8) as pool:
        with locked(tmp_path / "data" / "commit.lock"):  # as another process that commits
            group = [pool.submit(add, store, b"lost", "0")]
            wait_for(lambda: store._group._has_leader and not store._group._waiting)
            group += [pool.submit(add, store, b"lost", str(number)) for number in range(1, 8)]
            wait_for(lambda: len(store._group._waiting) == 7)
            held.enter_context(unsynced(path))
        errors = [each.exception(30) for each in group]
    assert [type(error) for error in errors].count(StorageUnavailable) == 1
    assert isinstance(errors[0] and errors[0].__cause__, OSError)
    assert (batches.sizes, batches.failed) == ([1, 7], 1)

    assert not add(store, b"lost", "0").duplicate
    assert store.count(Query()) == 9
    assert store.read(kept.message_id) == b"kept"
