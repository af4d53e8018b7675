"""Records of segments become rows in the same way, however they are found."""

import hashlib
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select
from support.clock import Clock
from support.rounds import rounds
from support.store import AT, records

from app.storage.ids import new_message_id
from app.storage.interface import Query
from app.storage.message import Envelope, Message
from app.storage.segments.directory import NewRecord, Segments
from app.storage.segments.record import (
    DELETION,
    MESSAGE,
    Deletion,
    description_of,
    description_of_deletion,
)
from app.storage.sqlite.completion import complete
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.database import connect
from app.storage.sqlite.numbers import microseconds
from app.storage.sqlite.rebuilding import rebuild
from app.storage.sqlite.store import SQLiteStore
from app.storage.sqlite.tables import deleted, erasures, messages

BEGINNING = 1_700_000_000_000_000


@dataclass(frozen=True)
class Written:
    """A record that goes to the segment `segment`: a message, or the deletion of one by index."""

    segment: int
    key: str
    number: int
    deletes: str | None = None
    message_id: str = ""

    def new_record(self) -> NewRecord:
        if self.deletes is not None:
            deletion = Deletion(self.number, self.deletes, self.key, 1, 2, "request")
            return NewRecord(DELETION, self.number, description_of_deletion(deletion))
        raw = self.message_id.encode()
        message = Message(self.message_id, AT, Envelope("a@b", "c@d"), "", self.key)
        description = description_of(message, hashlib.sha256(raw).digest())
        return NewRecord(MESSAGE, self.number, description, [raw])


@st.composite
def histories(draw: st.DrawFn) -> list[Written]:
    """Return records as processes may have left them: few keys, copies, deletions of their own."""
    written: list[Written] = []
    number = BEGINNING
    for _ in range(draw(st.integers(1, 14))):
        number += draw(st.integers(1, 3))
        segment, key = draw(st.integers(0, 2)), draw(st.sampled_from("abc"))
        of_key = [each for each in written if each.key == key and each.deletes is None]
        kind = draw(st.sampled_from(["message", "message", "delete", "copy"]))
        if kind == "copy" and of_key:
            written.append(_copy(draw(st.sampled_from(of_key)), segment))
        elif kind == "delete" and of_key:
            written.append(Written(3 + segment, key, number, of_key[-1].message_id))
        else:
            written.append(Written(segment, key, number, None, new_message_id(AT)))
    return written


def _copy(of: Written, segment: int) -> Written:
    return Written(segment, of.key, of.number, None, of.message_id)


@dataclass
class Index:
    """What the database says: ids by key, ids of the deleted, and erased ranges."""

    rows: dict[str, str]
    deleted: set[str]
    erased: set[tuple[str, int, int]]


def write(directory: Path, history: Sequence[Written]) -> None:
    """Append `history`; each segment is one file, as different processes write."""
    segments: dict[int, Segments] = {}
    for each in history:
        if each.segment not in segments:
            segments[each.segment] = Segments(directory)
        segments[each.segment].append([each.new_record()])
    for one in segments.values():
        one.close()


@contextmanager
def completed(data_dir: Path) -> Iterator[Engine]:
    engine = connect(data_dir / "gomail.db")
    try:
        complete(engine, Segments(data_dir / "segments"), data_dir / "commit.lock")
        yield engine
    finally:
        engine.dispose()


def index_of(data_dir: Path) -> Index:
    with completed(data_dir) as engine, engine.connect() as connection:
        rows = connection.execute(select(messages)).all()
        gone = connection.execute(select(deleted.c.id)).scalars().all()
        erased = connection.execute(select(erasures)).all()
    return Index(
        {row.idempotency_key: row.id for row in rows}, set(gone), {tuple(row) for row in erased}
    )


def expected(history: Sequence[Written]) -> dict[str, str]:
    """Return what counts: of each key the last message, unless a later deletion is of it."""
    rows = {}
    for key in {each.key for each in history}:
        of_key = [each for each in history if each.key == key]
        last = max(of_key, key=lambda each: each.number)
        if last.deletes is None:
            rows[key] = last.message_id
    return rows


@contextmanager
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        data_dir = Path(name, "data")
        create_store(data_dir).close()
        yield data_dir


@settings(max_examples=rounds(30, 15))
@given(histories(), st.integers(0, 14), st.randoms(use_true_random=False))
def test_the_order_of_finding_makes_no_difference(
    history: list[Written], first: int, chance: random.Random
) -> None:
    """All at once, or some segments first and the rest of each later, in any order: the same."""
    with directory() as data_dir:
        write(data_dir / "segments", history)
        at_once = index_of(data_dir)
    assert at_once.rows == expected(history)

    with directory() as data_dir:
        aside = data_dir / "aside"
        aside.mkdir()
        write(aside, history)
        names = [path.name for path in sorted(aside.iterdir())]
        chance.shuffle(names)
        for name in names[: first % (len(names) + 1)]:
            shutil.move(aside / name, data_dir / "segments")
            index_of(data_dir)
        for name in names[first % (len(names) + 1) :]:
            shutil.move(aside / name, data_dir / "segments")
        in_parts = index_of(data_dir)
        assert (in_parts.rows, in_parts.deleted) == (at_once.rows, at_once.deleted)
        assert_all_else_is_erased(data_dir, in_parts)


def assert_all_else_is_erased(data_dir: Path, index: Index) -> None:
    """Each message in the segments has a row, or is noted to be erased; read back, too."""
    with closing(SQLiteStore(data_dir)) as store:
        store.erase()
        for message_id in index.rows.values():
            assert store.read(message_id) == message_id.encode()
    raw = b"".join(path.read_bytes() for path in records(data_dir))
    contents = raw.count(b'"sender"')
    assert contents == len(index.rows)


def test_numbers_are_ahead_of_all_that_were_given(data_dir: Path) -> None:
    """Also when index and note are lost and the clock is set back: nothing is given twice."""
    with closing(create_store(data_dir)) as store:
        body = store.new_body()
        message = Message(new_message_id(AT), AT, Envelope("a@b", "c@d"), "", "key")
        store.add(message, body)
        given_before = store.get(message.message_id).number
    clock = Clock(given_before - 10**12)
    numbers = [given_before]
    for lost in (["gomail.db"], [], ["gomail.db"]):
        for name in lost:
            (data_dir / name).unlink()
        rebuild(data_dir, clock=clock)
        numbers.append(_number(data_dir))
        clock.now -= 10**6
    assert numbers == sorted(set(numbers))
    # Without index and note, the records themselves tell what was given.
    for name in ("gomail.db", "commit.lock"):
        (data_dir / name).unlink()
    rebuild(data_dir, clock=clock)
    assert _number(data_dir) > given_before


def _number(data_dir: Path) -> int:
    with closing(SQLiteStore(data_dir)) as store:
        [found] = store.search(Query())
        return found.number


def test_an_index_made_often_has_no_huge_numbers(data_dir: Path) -> None:
    """Old records don't push the numbers ahead of the clock: 300 times made, it still has room."""
    create_store(data_dir).close()
    year_us = 365 * 86_400 * 10**6
    start = microseconds() - 3 * year_us
    history = [
        Written(0, key, start + n * year_us, None, new_message_id(AT))
        for n, key in enumerate("abc")
    ]
    write(data_dir / "segments", history)
    for _ in range(5):
        rebuild(data_dir)
    with closing(SQLiteStore(data_dir)) as store:
        found = list(store.search(Query(oldest_first=True)))
    assert [each.message_id for each in found] == [each.message_id for each in history]
    assert found[-1].number <= microseconds()


@pytest.mark.parametrize("damage", ["missing", "zeros", "none"])
def test_a_copy_replaces_a_row_that_can_not_be_read(data_dir: Path, damage: str) -> None:
    """What a power cut leaves when a message was copied elsewhere: one copy that is whole."""
    create_store(data_dir).close()
    original = Written(0, "a", BEGINNING, None, new_message_id(AT))
    write(data_dir / "segments", [original])
    assert index_of(data_dir).rows == {"a": original.message_id}
    [first] = records(data_dir)
    write(data_dir / "segments", [_copy(original, 1)])
    [second] = {*records(data_dir)} - {first}
    _harm(first, damage)

    with completed(data_dir), closing(SQLiteStore(data_dir)) as store:
        store.erase()
        number = store.get(original.message_id).number
        assert store.read(original.message_id) == original.message_id.encode()
        assert store.statistics().messages == 1
    holding = [path for path in records(data_dir) if b'"sender"' in path.read_bytes()]
    assert holding == [first if damage == "none" else second]
    with completed(data_dir), closing(SQLiteStore(data_dir)) as store:
        assert store.get(original.message_id).number == number


def _harm(path: Path, damage: str) -> None:
    harm: dict[str, Callable[[], object]] = {
        "missing": path.unlink,
        "zeros": lambda: path.write_bytes(bytes(path.stat().st_size)),
        "none": lambda: None,
    }
    harm[damage]()


def test_a_damaged_copy_replaces_nothing(data_dir: Path) -> None:
    """It is erased, and the row stays where it is."""
    create_store(data_dir).close()
    original = Written(0, "a", BEGINNING, None, new_message_id(AT))
    write(data_dir / "segments", [original])
    index_of(data_dir)
    [first] = records(data_dir)
    copy = _copy(original, 1)
    last = Written(1, "b", BEGINNING + 1, None, new_message_id(AT))
    write(data_dir / "segments", [copy, last])
    [second] = {*records(data_dir)} - {first}
    raw = second.read_bytes()
    at = raw.index(original.message_id.encode(), raw.index(b'"sha256"'))
    second.write_bytes(raw[:at] + b"X" + raw[at + 1 :])
    assert index_of(data_dir).rows == {"a": original.message_id, "b": last.message_id}
    with closing(SQLiteStore(data_dir)) as store:
        store.erase()
        assert store.read(original.message_id) == original.message_id.encode()
    assert original.message_id.encode() not in second.read_bytes()
