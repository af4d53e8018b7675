"""docs/storage.md is enough to read segments without GoMail, and names the files that there are."""

import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pytest
from support.deliveries import add_for
from support.rounds import rounds
from support.store import AT, add

from app.errors import MessageCorrupt
from app.storage.interface import MessageStore, Query
from app.storage.message import Envelope, Message, Reason, SMTPClient
from app.storage.segments import record
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore

PAGE = (Path(__file__).parents[3] / "docs" / "storage.md").read_text(encoding="utf-8")
LARGE = b"Subject: large\r\n\r\n" + bytes(range(256)) * 6000


@dataclass(frozen=True)
class Content:
    """What can be read of each message by its id, and the ids of those that are damaged."""

    readable: Mapping[str, bytes]
    damaged: frozenset[str]


def read_by_page(data_dir: Path) -> Content:
    """Run the program of the page, with nothing of GoMail, on what is in `data_dir`."""
    [program] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    target = Path(tempfile.mkdtemp(dir=data_dir.parent))
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, str(data_dir), str(target)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    readable = {path.stem: path.read_bytes() for path in target.iterdir()}
    return Content(readable, frozenset(line.split()[0] for line in done.stdout.splitlines()))


def read_by_store(store: MessageStore) -> Content:
    """Return what the store has."""
    readable, damaged = {}, set()
    for each in store.search(Query()):
        try:
            readable[each.message_id] = store.read(each.message_id)
        except MessageCorrupt:
            damaged.add(each.message_id)
    return Content(readable, frozenset(damaged))


@contextmanager
def indexed_anew(data_dir: Path) -> Iterator[SQLiteStore]:
    """Open the store after its database was lost."""
    for path in data_dir.glob("gomail.db*"):
        path.unlink()
    with closing(create_store(data_dir)) as store:
        store.complete()
        yield store


def overwrite(data_dir: Path, old: bytes, new: bytes) -> None:
    """Replace the one occurrence of `old` in the segments by as many other bytes."""
    [path] = [path for path in segments(data_dir) if old in path.read_bytes()]
    content = path.read_bytes()
    assert content.count(old) == 1
    assert len(old) == len(new)
    path.write_bytes(content.replace(old, new))


def segments(data_dir: Path) -> list[Path]:
    """Return the files with records."""
    return sorted((data_dir / "segments").glob("*.records"))


def small(number: int) -> bytes:
    """Return a message of its own for each number."""
    return f"Subject: {number}\r\n\r\nbody {number}\r\n".encode() * (number % 7 + 1)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Return a directory that isn't there yet."""
    return tmp_path / "data"


def test_the_program_reads_what_the_store_has(data_dir: Path) -> None:
    """Small, empty and large ones byte for byte; none that is deleted, whether erased or not.

    Damage costs only the messages that it hit, in content and header alike.
    """
    with closing(create_store(data_dir)) as store:
        first = [add(store, small(number), f"key {number}") for number in range(20)]
        empty = add(store, b"", "empty")
        large = [add(store, LARGE + bytes([number]), f"large {number}") for number in range(3)]
        store.remove([first[0], first[7], first[8], first[19], large[0]], Reason.REQUEST)
        store.erase()
        last = [add(store, small(number), f"key {number}") for number in range(20, 30)]
        delivered = add_for(store, "app", "log")
        store.remove([last[0], large[1]], Reason.RETENTION)
    overwrite(data_dir, small(4), small(4).upper())
    overwrite(data_dir, f'"id":"{first[13]}"'.encode(), f'"ID":"{first[13]}"'.encode())

    found = read_by_page(data_dir)
    with indexed_anew(data_dir) as store:
        assert found == read_by_store(store)
    assert found.damaged == {first[4]}
    gone = {0, 4, 7, 8, 13, 19}
    assert found.readable == {
        delivered.message_id: b"Subject: x\r\n\r\n",
        **{first[number]: small(number) for number in range(20) if number not in gone},
        **{last[number - 20]: small(number) for number in range(21, 30)},
        empty: b"",
        large[2]: LARGE + b"\x02",
    }


def test_of_records_with_one_key_the_program_takes_the_one_that_counts(data_dir: Path) -> None:
    """The one with the highest number, whichever file it is in, and none that was deleted since.

    A segment that comes back from before its messages were erased changes nothing.
    """
    with closing(create_store(data_dir)) as store:
        add(store, small(1), "twice")
        deleted = add(store, small(2), "deleted")
    before = {path: path.read_bytes() for path in segments(data_dir)}
    with closing(create_store(data_dir)) as store:
        store.remove([deleted], Reason.REQUEST)
        store.erase()
    with closing(create_store(data_dir.with_name("other"))) as store:
        second = add(store, small(3), "twice")
    for path in segments(data_dir.with_name("other")):
        shutil.copy(path, data_dir / "segments")
    for path, content in before.items():
        path.write_bytes(content)

    found = read_by_page(data_dir)
    assert found == Content({second: small(3)}, frozenset())
    with indexed_anew(data_dir) as store:
        assert read_by_store(store) == found


def test_a_copy_of_a_record_stands_in_for_a_damaged_one(data_dir: Path) -> None:
    """Of two with the same key and number, the one whose content is right counts."""
    with closing(create_store(data_dir)) as store:
        message_id = add(store, small(5), "key")
    [path] = segments(data_dir)
    marker, copy = bytes.fromhex(path.stem), b"\x01" * 16
    other = path.with_name(f"{copy.hex()}.records")
    found = record.parse_header(marker, path.read_bytes()[record.FILE_HEADER.size :])
    assert isinstance(found, record.Header)
    content_bytes = len(small(5))
    header = record.header(copy, found.kind, 0, found.description, content_bytes, found.number)
    for whole, damaged in ((other, path), (path, other)):
        path.write_bytes(path.read_bytes().replace(small(5).upper(), small(5)))
        other.write_bytes(record.file_header(copy, record.RECORDS) + header + small(5))
        damaged.write_bytes(damaged.read_bytes().replace(small(5), small(5).upper()))
        assert small(5) in whole.read_bytes()
        assert read_by_page(data_dir) == Content({message_id: small(5)}, frozenset())


def test_no_message_is_taken_for_a_record(data_dir: Path) -> None:
    """Whatever a message consists of: whole segments, records, headers with any other marker."""
    with closing(create_store(data_dir.with_name("other"))) as store:
        add(store, small(1), "planted")
        add(store, LARGE, "planted and large")
    whole = [path.read_bytes() for path in segments(data_dir.with_name("other"))]
    forged = [*whole, b"".join(whole), whole[0][record.FILE_HEADER.size :], LARGE + whole[1]]
    with closing(create_store(data_dir)) as store:
        stored = {add(store, raw, f"key {number}"): raw for number, raw in enumerate(forged)}

    found = read_by_page(data_dir)
    assert found == Content(stored, frozenset())
    with indexed_anew(data_dir) as store:
        assert read_by_store(store) == found


def test_the_program_reads_all_before_a_torn_end(data_dir: Path) -> None:
    """Wherever a segment is cut off, it finds what a start finds."""
    with closing(create_store(data_dir)) as store:
        ids = [add(store, small(number), f"key {number}") for number in range(6)]
    [path] = segments(data_dir)
    content = path.read_bytes()
    draw = random.Random(15)
    for size in draw.sample(range(len(content)), rounds(40, 10)):
        path.write_bytes(content[:size])
        found = read_by_page(data_dir)
        whole = ids[: len(found.readable)]
        assert found.readable == {each: small(ids.index(each)) for each in whole}
        assert found.damaged == frozenset()
        with indexed_anew(data_dir) as store:
            assert read_by_store(store) == found


@pytest.mark.parametrize("seed", range(rounds(20, 5)))
def test_damage_anywhere_costs_the_program_what_it_costs_the_store(
    data_dir: Path, seed: int
) -> None:
    """Overwritten ranges, of any size and at any place: both find the same messages whole."""
    with closing(create_store(data_dir)) as store:
        for number in range(40):
            add(store, small(number), f"key {number}")
        add(store, LARGE, "large")
    draw = random.Random(seed)
    for path in segments(data_dir):
        content = bytearray(path.read_bytes())
        for _ in range(3):
            start, size = draw.randrange(len(content)), draw.choice([1, 20, 700])
            content[start : start + size] = draw.randbytes(len(content[start : start + size]))
        path.write_bytes(content)

    found = read_by_page(data_dir).readable
    assert len(found) >= 28
    with indexed_anew(data_dir) as store:
        assert read_by_store(store).readable == found


@pytest.mark.parametrize("offset", rounds([*range(32)], [0, 14, 15, 16]))
def test_a_damaged_beginning_of_a_segment_costs_nothing(data_dir: Path, offset: int) -> None:
    """Whichever byte of the file's header is wrong, also that of the layout."""
    with closing(create_store(data_dir)) as store:
        stored = {add(store, small(number), f"key {number}"): small(number) for number in range(3)}
        stored[add(store, LARGE, "large")] = LARGE
    for path in segments(data_dir):
        content = bytearray(path.read_bytes())
        content[offset] ^= 3  # turns one layout into the other
        path.write_bytes(content)

    assert read_by_page(data_dir) == Content(stored, frozenset())
    with indexed_anew(data_dir) as store:
        assert read_by_store(store) == Content(stored, frozenset())


def table(before: str) -> list[list[str]]:
    """Return the cells of the table that follows a text of the page, row by row."""
    rows = PAGE.partition(before)[2].partition("|---")[2].partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def fields(before: str, data: bytes) -> list[bytes]:
    """Return the fields of `data` as a table of the page has them; they follow one another."""
    found, end = [], 0
    for offset, size, *_ in table(before):
        assert int(offset) == end
        end += int(size)
        found.append(data[int(offset) : end])
    assert end == len(data)
    return found


def test_the_tables_have_each_field_where_it_is() -> None:
    """The headers of file and record, written by GoMail and taken apart by the page."""
    marker = bytes(range(1, 17))
    begin = fields("The file begins with 32 bytes", record.file_header(marker, 2))
    assert begin == [b"GoMail segment", b"\x01", b"\x02", marker]
    header = record.header(marker, 2, 3, b"{}", 4, 5)
    found = fields("A record begins with a header of 44 bytes", header.removesuffix(b"{}"))
    numbers = [int.from_bytes(field, "little") for field in found[1:]]
    assert found[0] == marker
    assert numbers == [1, 2, 3, 2, 4, 5, zlib.crc32(header[:40] + b"{}")]


def test_each_member_of_a_description_is_named() -> None:
    """Those of messages, with all that a relay says, and those of deletions."""
    client = SMTPClient("192.0.2.1", "host.example", "helo.example")
    envelope = Envelope("a@b", "c@d", client, "<>", "queue")
    message = Message("id", AT, envelope, "", "key", ("app",))
    written = {
        "message": json.loads(record.description_of(message, b"")),
        "deletion": json.loads(
            record.description_of_deletion(record.Deletion(1, "id", "key", 0, 0, "request"))
        ),
    }
    rows = table("with these members; ignore others")
    for kind, members in written.items():
        named = [re.findall(r"`(\w+)`", names) for names, of, _ in rows if of in {kind, "both"}]
        assert set(chain.from_iterable(named)) == members.keys()


def test_each_file_of_the_data_directory_is_named(data_dir: Path) -> None:
    """Whoever looks into it finds on the page what a file is."""
    with closing(create_store(data_dir)) as store:
        store.remove([add(store, b"x")], Reason.REQUEST)
        store.erase()
        files = [path for path in data_dir.rglob("*") if path.is_file()]
    patterns = re.findall(r"`([^`]+)`", "".join(names for names, *_ in table("## The data dir")))
    assert len(files) > 5
    for path in files:
        assert any(path.relative_to(data_dir).match(pattern) for pattern in patterns), path
