"""Words of messages in the files of a store, also in the gaps of gomail.db's pages."""

import os
import random
import sqlite3
import struct
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

from support.rounds import rounds
from support.store import AT

from app.storage.ids import new_message_id
from app.storage.interface import Query
from app.storage.message import Envelope, Message, Reason
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore

WORD = "(sender|recipient|subject)-[0-9]{8}"


def add_with_word(store: SQLiteStore, number: int) -> str:
    """Store a message whose envelope and subject have a word with its number."""
    draw, word = random.Random(number), f"{number:08}"
    message = Message(
        new_message_id(AT),
        AT,
        Envelope(
            f"sender-{word}@{'e' * draw.randrange(60)}.example",
            f"{draw.randrange(10**6):06}-recipient-{word}@{'d' * draw.randrange(80)}.example",
        ),
        f"subject-{word} " + "s" * draw.randrange(700),
        f"{draw.getrandbits(256):064x}",
    )
    body = store.new_body()
    body.write(b"raw")
    return store.add(message, body).message_id


def add_all(store: SQLiteStore, numbers: Iterable[int]) -> dict[int, str]:
    """Store messages as several threads do; return their ids by number."""
    numbers = list(numbers)
    with ThreadPoolExecutor(8) as pool:
        added = pool.map(partial(add_with_word, store), numbers)
        return dict(zip(numbers, added, strict=True))


def words_in(data_dir: Path) -> set[int]:
    """Return the numbers whose words are in any file.

    Another process reads them: this one would lose SQLite's locks.
    """
    command = [
        "grep",
        "--recursive",
        "--text",
        "--only-matching",
        "--no-filename",
        "--extended-regexp",
    ]
    found = subprocess.run(
        [*command, WORD, data_dir],
        env=os.environ | {"LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    return {int(word[-8:]) for word in found.stdout.split()}


def remove_some(store: SQLiteStore, ids: dict[int, str], count: int) -> set[int]:
    """Delete messages here and there, taking them from `ids`; return their numbers."""
    gone = random.Random(len(ids)).sample(sorted(ids), count)
    for at in range(0, count, 100):
        store.remove([ids.pop(number) for number in gone[at : at + 100]], Reason.REQUEST)
    return set(gone)


def numbers_of_rows(store: SQLiteStore) -> set[int]:
    return {int(found.subject[8:16]) for found in store.search(Query())}


def assert_whole(data_dir: Path) -> None:
    with closing(sqlite3.connect(data_dir / "gomail.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def gaps_in(database: bytes | bytearray) -> dict[int, slice]:
    """Return where the gap of each page of a B-tree is, by page number; for 4096 byte pages."""
    found = {}
    for number in range(2, len(database) // 4096 + 1):
        offset = (number - 1) * 4096
        header_bytes = {2: 12, 5: 12, 10: 8, 13: 8}.get(database[offset])
        if header_bytes:
            _, cells, content = struct.unpack_from(">HHH", database, offset + 1)
            found[number] = slice(offset + header_bytes + 2 * cells, offset + content)
    return found


def store_with_words_in_gaps(data_dir: Path) -> tuple[dict[int, str], set[int]]:
    """Return the messages of a store in `data_dir`, and the words in gaps.

    SQLite leaves some, too; but here each gap that is large enough has one.
    """
    with closing(create_store(data_dir)) as store:
        ids = add_all(store, range(rounds(4000, 1000)))
        remove_some(store, ids, len(ids) // 3)
        store.erase()
    database = data_dir / "gomail.db"
    content = bytearray(database.read_bytes())
    left = set()
    for number, gap in gaps_in(content).items():
        word = b"subject-%08d" % (90_000_000 + number)
        if gap.stop - gap.start >= len(word):
            content[gap.start : gap.start + len(word)] = word
            left.add(90_000_000 + number)
    with database.open("r+b") as file:
        file.write(content)
    assert len(left) > 100
    assert words_in(data_dir) == set(ids) | left
    return ids, left


def erase_again(store: SQLiteStore, ids: dict[int, str]) -> None:
    """Erase, with one more deletion, without which nothing is to be done."""
    remove_some(store, ids, 1)
    store.erase()
