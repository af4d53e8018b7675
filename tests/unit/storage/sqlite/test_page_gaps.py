"""Nothing of deleted messages is left in the gaps of gomail.db's pages."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.page_words import (
    add_all,
    assert_whole,
    gaps_in,
    numbers_of_rows,
    remove_some,
    store_with_words_in_gaps,
    words_in,
)
from support.rounds import rounds
from support.store import AT

from app.storage.ids import new_message_id
from app.storage.message import Envelope, Message, Reason
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.page_gaps import PageGaps
from app.storage.sqlite.shared_descriptor import SharedDescriptor

LONGEST = 998


@pytest.fixture
def made(data_dir: Path) -> tuple[dict[int, str], set[int]]:
    """Return the messages of a store in `data_dir`, and the words in gaps."""
    return store_with_words_in_gaps(data_dir)


def test_scattered_deletions_leave_nothing(data_dir: Path) -> None:
    """Round after round no word of a deleted message is in any file, nor comes back later."""
    with closing(create_store(data_dir)) as store:
        ids = add_all(store, range(rounds(4000, 1500)))
        gone = set()
        for number in range(rounds(6, 3)):
            gone |= remove_some(store, ids, len(ids) // 5)
            store.erase()
            assert words_in(data_dir) == set(ids)
            first = 10_000 * (number + 1)
            ids |= add_all(store, range(first, first + 100))
            assert words_in(data_dir) == set(ids)
        assert numbers_of_rows(store) == set(ids)
    assert gone
    assert_whole(data_dir)


def test_what_was_left_by_the_deletion_of_others_goes(data_dir: Path) -> None:
    """Rows that moved as their neighbours were deleted leave nothing when they are, too."""
    with closing(create_store(data_dir)) as store:
        ids = add_all(store, range(rounds(6_000, 2_000)))
        remove_some(store, ids, len(ids) // 2)
        store.erase()
        for _ in range(5):
            remove_some(store, ids, len(ids) // 8)
        store.erase()
        assert words_in(data_dir) == set(ids)
    assert_whole(data_dir)


def test_nothing_but_gaps_changes(data_dir: Path, made: tuple[dict[int, str], set[int]]) -> None:
    """Each byte that differs afterwards is between a page's cell pointers and its cells."""
    database = data_dir / "gomail.db"
    before = database.read_bytes()
    file = SharedDescriptor(database)
    gaps = PageGaps(file)
    pages = gaps.pages_to_clear()
    gaps.clear(pages, int.from_bytes(before[60:64], "big"))
    assert gaps.pages_to_clear() == []
    file.release()
    expected = bytearray(before)
    for number, gap in gaps_in(before).items():
        expected[gap] = bytes(gap.stop - gap.start)
        assert (number in pages) == any(before[gap])
    assert database.read_bytes() == expected
    assert not made[1] & words_in(data_dir)
    assert_whole(data_dir)


@pytest.mark.parametrize("page_bytes", [512, 65536])
def test_other_layouts(tmp_path: Path, page_bytes: int) -> None:
    """With pointer maps, and with the smallest and largest pages, all stays whole."""
    path = tmp_path / "gomail.db"
    draw = random.Random(page_bytes)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size={page_bytes}")
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("CREATE TABLE row (number INTEGER PRIMARY KEY, text TEXT UNIQUE)")
        count = 3000
        for _ in range(count):
            connection.execute("INSERT INTO row (text) VALUES (?)", [draw.randbytes(99).hex()])
        connection.execute("DELETE FROM row WHERE number % 3 = 0")
    file = SharedDescriptor(path)
    gaps = PageGaps(file)
    pages = gaps.pages_to_clear()
    assert pages
    gaps.clear(pages, 0)
    assert gaps.pages_to_clear() == []
    file.release()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM row").fetchone() == (count * 2 // 3,)


def test_rows_of_several_pages_leave_nothing(data_dir: Path) -> None:
    """The longest senders, recipients and subjects have overflow pages: these are empty, too."""

    def long(word: str) -> str:
        return "".join(f"{word}\N{SNOWMAN}" for _ in range(LONGEST))[:LONGEST]

    with closing(create_store(data_dir)) as store:
        ids = []
        for number in range(200):
            word = f"{number:08}"
            body = store.new_body()
            envelope = Envelope(long(f"sender-{word}"), long(f"recipient-{word}"))
            subject = long(f"subject-{word}")[: LONGEST - number * 4]
            message = Message(new_message_id(AT), AT, envelope, subject, f"key{number}")
            ids.append(store.add(message, body).message_id)
        store.remove(ids[::2], Reason.REQUEST)
        store.erase()
        assert words_in(data_dir) == set(range(1, 200, 2))
        store.remove(ids[1::4], Reason.REQUEST)
        add_all(store, range(1000, 1300))
        store.erase()
        assert words_in(data_dir) == {*range(3, 200, 4), *range(1000, 1300)}
    assert_whole(data_dir)
