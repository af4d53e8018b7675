"""Gaps of pages are cleared while others read, write and delete, or are killed."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.killed import Report, killed_after
from support.page_words import (
    add_all,
    add_with_word,
    assert_whole,
    erase_again,
    numbers_of_rows,
    remove_some,
    store_with_words_in_gaps,
    words_in,
)
from support.rounds import rounds
from support.server import CHECKOUT
from support.store import start

from app.storage.sqlite.creation import create_store
from app.storage.sqlite.erasing import Erasing
from app.storage.sqlite.page_gaps import PageGaps
from app.storage.sqlite.store import SQLiteStore

pytestmark = pytest.mark.thorough


@pytest.fixture
def made(data_dir: Path) -> tuple[dict[int, str], set[int]]:
    """Return the messages of a store in `data_dir`, and the words in gaps."""
    return store_with_words_in_gaps(data_dir)


def while_gaps_are_cleared(
    monkeypatch: pytest.MonkeyPatch, before: Callable[[], object], after: Callable[[], object]
) -> None:
    """Let others do something while the log is empty, before and after gaps are cleared."""
    clear = PageGaps.clear

    def with_others(self: PageGaps, numbers: Sequence[int], generation: int) -> None:
        before()
        clear(self, numbers, generation)
        after()

    monkeypatch.setattr(PageGaps, "clear", with_others)


def read_all(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA cache_size=-100000")
    connection.execute("SELECT * FROM message").fetchall()
    connection.execute("PRAGMA integrity_check").fetchall()


def write_to_all_pages(connection: sqlite3.Connection) -> None:
    for change in ("segment || 'x'", "rtrim(segment, 'x')"):
        connection.execute(f"UPDATE message SET segment = {change}")
    for change in ("upper", "lower"):
        connection.execute(
            f"UPDATE message SET id = {change}(id), idempotency_key = {change}(idempotency_key),"
            f" recipient_key = {change}(recipient_key)"
        )


def test_no_cache_brings_it_back(
    data_dir: Path, made: tuple[dict[int, str], set[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that have read all pages just before write to all of them right afterwards."""
    ids, left = made
    database = data_dir / "gomail.db"
    writes = []
    with (
        closing(sqlite3.connect(database, isolation_level=None)) as writer,
        closing(sqlite3.connect(database, isolation_level=None)) as reader,
        closing(SQLiteStore(data_dir)) as store,
    ):

        def read() -> None:
            read_all(writer)
            reader.execute("BEGIN")
            read_all(reader)

        def write(_: PageGaps) -> None:
            assert not left & words_in(data_dir)
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                reader.execute("UPDATE message SET size = size + 1")
            reader.execute("ROLLBACK")
            write_to_all_pages(writer)
            writes.append((data_dir / "gomail.db-wal").stat().st_size)

        while_gaps_are_cleared(monkeypatch, read, lambda: None)
        monkeypatch.setattr(PageGaps, "sync", write)  # that follows
        monkeypatch.setattr("app.storage.sqlite.erasing._PAGES_AT_ONCE", 10_000)
        erase_again(store, ids)
        assert not left & words_in(data_dir)
        write_to_all_pages(reader)
        assert not left & words_in(data_dir)
        assert numbers_of_rows(store) == set(ids)
    [log_bytes] = writes
    assert log_bytes > 100 * 4096
    assert not left & words_in(data_dir)
    assert_whole(data_dir)


def test_who_writes_without_the_lock_is_noticed(
    data_dir: Path, made: tuple[dict[int, str], set[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that such a one commits while the log should be empty are there afterwards.

    While gaps are cleared it has to wait.
    """
    ids, left = made
    emptied: list[bool] = []
    clear_gaps = Erasing._clear_gaps

    def after_a_write(self: Erasing, *arguments: Any) -> bool:
        if len(emptied) % 2 == 0:
            shell.execute("UPDATE message SET size = size + 1")
        emptied.append(clear_gaps(self, *arguments))
        return emptied[-1]

    def try_to_write() -> None:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            shell.execute("UPDATE message SET size = 0")

    monkeypatch.setattr(Erasing, "_clear_gaps", after_a_write)
    while_gaps_are_cleared(monkeypatch, try_to_write, try_to_write)
    with (
        closing(sqlite3.connect(data_dir / "gomail.db", timeout=0, isolation_level=None)) as shell,
        closing(SQLiteStore(data_dir)) as store,
    ):
        erase_again(store, ids)
        sizes = shell.execute("SELECT DISTINCT size FROM message").fetchall()
    assert emptied == [False, True] * (len(emptied) // 2)
    assert sizes == [(3 + len(emptied) // 2,)]
    assert not left & words_in(data_dir)
    assert_whole(data_dir)


def test_a_deletion_meanwhile_is_left_for_the_next_time(
    data_dir: Path, made: tuple[dict[int, str], set[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process deletes while gaps are cleared is erased by the next call."""
    ids, _ = made
    with closing(SQLiteStore(data_dir)) as store, closing(SQLiteStore(data_dir)) as other:
        with monkeypatch.context() as patch:
            find = PageGaps.pages_to_clear

            def find_and_delete(self: PageGaps) -> list[int]:
                pages = find(self)
                other._checkpoints.close()
                remove_some(other, ids, 100)
                return pages

            patch.setattr(PageGaps, "pages_to_clear", find_and_delete)
            erase_again(store, ids)
        cleared = []
        while_gaps_are_cleared(monkeypatch, lambda: cleared.append(1), lambda: None)
        store.erase()
        assert cleared
        assert words_in(data_dir) == set(ids)
        cleared.clear()
        store.erase()
        assert not cleared, "there was nothing to do"


OTHER = """
import sys
from contextlib import closing
from pathlib import Path
from support.page_words import add_with_word, numbers_of_rows
from app.storage.sqlite.store import SQLiteStore
first, ended = int(sys.argv[2]), Path(sys.argv[3])
with closing(SQLiteStore(Path(sys.argv[1]))) as store:
    number = first
    while not ended.exists():
        add_with_word(store, number)
        number += 1
        if number % 20 == 0:
            assert numbers_of_rows(store) >= set(range(first, number))
print(number)
"""


def test_others_read_and_write_meanwhile(
    tmp_path: Path,
    data_dir: Path,
    made: tuple[dict[int, str], set[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Processes that store and search find the right rows, and bring no word back."""
    monkeypatch.setattr("app.storage.sqlite.erasing._PAGES_AT_ONCE", 8)
    ids, gone = made
    starts, until = (20_000_000, 30_000_000), time.monotonic() + rounds(10, 4)
    ended = tmp_path / "ended"
    paths = [str(CHECKOUT), str(CHECKOUT / "tests")]
    others = [
        subprocess.Popen(
            [sys.executable, "-c", OTHER, data_dir, str(first), ended],
            env=os.environ | {"PYTHONPATH": ":".join(paths)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in starts
    ]
    erased = 0
    with closing(SQLiteStore(data_dir)) as store:
        while erased <= 2 or time.monotonic() < until:
            gone |= remove_some(store, ids, 10)
            store.erase()
            erased += 1
            assert not gone & words_in(data_dir)
        ended.touch()
        new = set[int]()
        for first, other in zip(starts, others, strict=True):
            output, _ = other.communicate()
            assert other.returncode == 0
            new |= set(range(first, int(output)))
        assert len(new) > 20
        assert numbers_of_rows(store) == set(ids) | new
        assert not gone & words_in(data_dir)
    assert not gone & words_in(data_dir)
    assert_whole(data_dir)


def test_a_kill_in_the_middle_harms_nothing(
    data_dir: Path, made: tuple[dict[int, str], set[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after a part of the pages, the database is whole, and the next start does the rest."""
    ids, left = made

    def erase(report: Report) -> None:
        written, pwrite = [], os.pwrite

        def a_part(descriptor: int, data: bytes, offset: int) -> int:
            if Path(f"/proc/self/fd/{descriptor}").readlink().name == "gomail.db":
                written.append(offset)
                if len(written) == 20:
                    pwrite(descriptor, data[: len(data) // 2], offset)
                    os.kill(os.getpid(), signal.SIGKILL)
            return pwrite(descriptor, data, offset)

        monkeypatch.setattr(os, "pwrite", a_part)
        store = SQLiteStore(data_dir)
        report(list(remove_some(store, dict(ids), 1)))
        store.erase()
        raise AssertionError("it wasn't killed")

    [[gone]] = killed_after(erase)
    assert_whole(data_dir)
    with closing(start(data_dir)) as store:
        assert numbers_of_rows(store) == set(ids) - {gone}
        assert not (left | {gone}) & words_in(data_dir)
    assert_whole(data_dir)


OPEN_AND_CLOSE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT * FROM message").fetchall()
connection.close()
"""


def test_sqlite_keeps_its_locks(data_dir: Path) -> None:
    """Another process that opens and closes the database doesn't take itself for the only one."""
    with closing(create_store(data_dir)) as store, closing(SQLiteStore(data_dir)) as second:
        ids = add_all(store, range(300))
        for each in (second, store):
            remove_some(each, ids, 50)
            each.erase()
        second.close()
        assert numbers_of_rows(store) == set(ids)
        log = (data_dir / "gomail.db-wal").stat().st_ino
        subprocess.run([sys.executable, "-c", OPEN_AND_CLOSE, data_dir / "gomail.db"], check=True)
        assert (data_dir / "gomail.db-wal").stat().st_ino == log


def test_new_mail_hardly_waits(
    data_dir: Path, made: tuple[dict[int, str], set[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a few pages and the next ones a message is stored."""
    monkeypatch.setattr("app.storage.sqlite.erasing._PAGES_AT_ONCE", 8)
    ids, _ = made
    batches: list[float] = []
    stored: list[float] = []
    while_gaps_are_cleared(monkeypatch, lambda: batches.append(time.monotonic()), lambda: None)
    done = threading.Event()
    with closing(SQLiteStore(data_dir)) as store:

        def keep_adding() -> None:
            number = 40_000_000
            while not done.is_set():
                add_with_word(store, number)
                stored.append(time.monotonic())
                number += 1

        thread = threading.Thread(target=keep_adding)
        thread.start()
        try:
            erase_again(store, ids)
        finally:
            done.set()
            thread.join()
    assert len(batches) > 5
    during = [moment for moment in stored if batches[0] < moment < batches[-1]]
    assert len(during) >= len(batches) // 4
