"""What is deleted is found nowhere, and its space is back."""

import random
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.rounds import rounds

from app.storage.ids import new_message_id
from app.storage.interface import MessageStore, Query
from app.storage.message import Envelope, Message, Reason
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore

WORD = "zanzibar"
PLANTED, OTHERS = rounds((1_000, 10_000), (100, 1_000))
AT_ONCE = 100


def add(store: MessageStore, key: str, raw: bytes, word: str = "nothing") -> str:
    """Store a message that has `word` in its sender, its subject and, if `raw` has it, its body."""
    at = datetime.now(UTC)
    envelope = Envelope(f"{word}@example.com", f"{word}@example.org")
    body = store.new_body()
    body.write(raw)
    return store.add(
        Message(new_message_id(at), at, envelope, f"about {word}", key), body
    ).message_id


def other(number: int) -> bytes:
    return random.Random(number).randbytes(random.Random(-number).randrange(200, 12_000))


def planted(number: int) -> bytes:
    # Every hundredth is so large that it has a segment of its own.
    return f"Subject: {WORD}\r\n\r\n{WORD} {number}\r\n".encode() * (
        60_000 if number % 100 == 5 else 200
    )


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[list[SQLiteStore]]:
    """Return two stores on one directory, as two workers have them."""
    with (
        closing(create_store(tmp_path / "data")) as first,
        closing(SQLiteStore(tmp_path / "data")) as second,
    ):
        yield [first, second]


def hits(data_dir: Path) -> str:
    """Return the files that have the word."""
    found = subprocess.run(
        ["grep", "--recursive", "--text", "--ignore-case", "--files-with-matches", WORD, data_dir],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout


@pytest.mark.promise("mail can be erased for good")
def test_a_planted_word_is_found_nowhere(stores: list[SQLiteStore], tmp_path: Path) -> None:
    """Messages among ten times as many others are erased; each of these is byte for byte there."""
    order = [*range(PLANTED), *[-number for number in range(1, OTHERS + 1)]]
    random.Random(15).shuffle(order)

    def store_one(number: int) -> tuple[int, str]:
        store = stores[number % 2]
        if number < 0:
            return number, add(store, f"key{number}", other(number))
        return number, add(store, f"key{number}", planted(number), WORD)

    with ThreadPoolExecutor(16) as pool:
        ids = dict(pool.map(store_one, order))
    assert hits(tmp_path).count("\n") >= 3  # segments, large messages, the database or its log
    going = [message_id for number, message_id in ids.items() if number >= 0]
    for start in range(0, len(going), AT_ONCE):
        stores[0].remove(going[start : start + AT_ONCE], Reason.REQUEST)
    stores[0].erase()
    assert hits(tmp_path) == ""
    assert stores[1].count(Query()) == OTHERS
    for number, message_id in ids.items():
        if number < 0:
            assert stores[1].read(message_id) == other(number)


@pytest.mark.promise("mail can be erased for good")
@pytest.mark.parametrize("size", [1_000, 6_000, 100_000])
def test_the_space_of_neighbours_is_back(
    stores: list[SQLiteStore], tmp_path: Path, size: int
) -> None:
    """Of what runs of neighbours took, at least nine tenths are free again."""
    store, count = stores[0], rounds(2_000, 400)
    ids = [add(store, str(number), random.randbytes(size)) for number in range(count)]
    before = allocated(tmp_path)
    run = 100
    going = [ids[start : start + run] for start in range(0, count, 2 * run)]
    for some in going:
        store.remove(some, Reason.REQUEST)
    store.erase()
    freed = before - allocated(tmp_path)
    print(f"{freed / (sum(map(len, going)) * size):.3f} of what {size} byte messages took is back")
    assert freed >= 0.9 * sum(map(len, going)) * size
    assert store.count(Query()) == count // 2


def allocated(directory: Path) -> int:
    """Return what the segments take."""
    return sum(
        path.stat().st_blocks * 512 for path in directory.rglob("segments/*") if path.is_file()
    )
