"""A database of an hour ago is noticed, though it was put back into the same file."""

import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.store import add

from app.errors import StorageUnavailable
from app.storage.interface import Query
from app.storage.message import Reason
from app.storage.sqlite import rebuilding
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore


def killed(action: Callable[[], None]) -> None:
    """Run `action` in a process that ends without closing anything."""
    child = os.fork()
    if child == 0:
        action()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def fill(data_dir: Path, numbers: range, saved: Path) -> None:
    with_checkpoint = create_store(data_dir)
    for number in numbers:
        add(with_checkpoint, content(number), f"key-{number}")
        if number % 100 == 99:
            with_checkpoint._checkpoints._checkpoint()
        if number == 150:
            shutil.copyfile(data_dir / "gomail.db", saved)
    first = [message.message_id for message in with_checkpoint.search(Query(limit=20))]
    with_checkpoint.remove(first, Reason.REQUEST)


def content(number: int) -> bytes:
    return f"Subject: {number}\r\n\r\n".encode() * 50


@pytest.mark.parametrize("with_log", [True, False], ids=["with its log", "without a log"])
def test_an_older_database_in_the_same_file_loses_nothing(
    data_dir: Path, tmp_path: Path, with_log: bool
) -> None:
    """Whether the log beside it is that of the newer one or gone: all rows are as they were."""
    saved = tmp_path / "saved.db"
    killed(lambda: fill(data_dir, range(450), saved))
    with closing(SQLiteStore(data_dir)) as store:
        before = {each.message_id: store.read(each.message_id) for each in store.search(Query())}
    killed(lambda: add_more(data_dir))
    assert (data_dir / "gomail.db-wal").stat().st_size
    shutil.copyfile(saved, data_dir / "gomail.db")
    if not with_log:
        (data_dir / "gomail.db-wal").unlink()
    with closing(create_store(data_dir)) as store:
        store.complete()
        found = {each.message_id: store.read(each.message_id) for each in store.search(Query())}
        assert len(found) == 450 - 20 + 10
        assert {key: found[key] for key in before} == before
        with store._engine.connect() as connection:
            [[verdict]] = connection.exec_driver_sql("PRAGMA integrity_check").all()
        assert verdict == "ok"


def add_more(data_dir: Path) -> None:
    store = SQLiteStore(data_dir)
    for number in range(1000, 1010):
        add(store, content(number), f"key-{number}")


def test_a_start_trusts_what_a_kill_has_left(
    data_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that is the newest is never made anew."""
    for _ in range(3):
        killed(lambda: fill(data_dir, range(450), tmp_path / "saved"))
        create_store(data_dir).close()
    assert "anew" not in caplog.text


def test_damage_that_a_look_up_meets_is_mended_by_the_next_start(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a start can't check all of a large database, the failed look-up tells the next one."""
    monkeypatch.setattr(rebuilding, "QUICKLY_CHECKED_BYTES", 0)
    with closing(create_store(data_dir)) as store:
        stored = {add(store, content(number), f"key-{number}"): number for number in range(300)}
    database = data_dir / "gomail.db"
    size = database.stat().st_size
    with database.open("r+b") as file:
        file.seek(4096 * 30)
        file.write(b"\xff" * (size - 4096 * 30))
    with closing(create_store(data_dir)) as store, pytest.raises(StorageUnavailable):
        list(map(store.read, stored))
    with closing(create_store(data_dir)) as store:
        assert all(store.read(key) == content(number) for key, number in stored.items())


def test_a_small_damaged_database_is_mended_at_once(data_dir: Path) -> None:
    """The start itself finds damage in any page, and makes the database anew."""
    with closing(create_store(data_dir)) as store:
        stored = {add(store, content(number), f"key-{number}"): number for number in range(300)}
    database = data_dir / "gomail.db"
    with database.open("r+b") as file:
        file.seek(4096 * 30)
        file.write(b"\xff" * 4096)
    with closing(create_store(data_dir)) as store:
        assert all(store.read(key) == content(number) for key, number in stored.items())
