import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from app.state.lock_file import locked
from app.storage.ids import new_message_id
from app.storage.interface import Query
from app.storage.message import Envelope, Message, Receipt
from app.storage.segments.directory import Segments
from app.storage.segments.segment_file import SegmentFile
from app.storage.segments.segment_reader import Record, SegmentReader
from app.storage.segments.spooled_body import LARGE_MESSAGE_BYTES, SpooledBody
from app.storage.sqlite.completion import Completed
from app.storage.sqlite.database import connect
from app.storage.sqlite.deliveries.rows import make_deliveries
from app.storage.sqlite.numbers import microseconds
from app.storage.sqlite.store import SQLiteStore
from app.storage.sqlite.writer import Addition, Writer

AT = datetime(2026, 3, 1, tzinfo=UTC)
LARGE = 2 * LARGE_MESSAGE_BYTES


@pytest.fixture
def segments(store: SQLiteStore, data_dir: Path) -> Iterator[Segments]:
    segments = Segments(data_dir / "segments")
    yield segments
    segments.close()


@pytest.fixture
def engine(store: SQLiteStore, data_dir: Path) -> Iterator[Engine]:
    engine = connect(data_dir / "gomail.db", busy_timeout_seconds=1)
    yield engine
    engine.dispose()


@pytest.fixture
def writer(engine: Engine, segments: Segments, data_dir: Path) -> Iterator[Writer]:
    writer = Writer(engine, segments, data_dir / "commit.lock", ignore)
    yield writer
    writer.close()


def ignore(_error: sqlite3.Error) -> None:
    """Note nothing."""


def addition(segments: Segments, raw: bytes, key: str, subject: str = "") -> Addition:
    message = Message(new_message_id(AT), AT, Envelope("a@b", "c@d"), subject, key)
    body = SpooledBody(segments.open_large)
    for start in range(0, len(raw), 65536):
        body.write(raw[start : start + 65536])
    if body.segment is not None:
        body.segment.sync()
    return Addition(message, body)


def commit(writer: Writer, additions: Sequence[Addition]) -> list[Receipt | None]:
    """What SQLiteStore.add does around the writer."""
    try:
        writer.commit(additions)
    finally:
        for each in additions:
            each.body.discard()
    return [each.receipt for each in additions]


def first(each: Addition) -> Receipt:
    return Receipt(each.message.message_id, AT, duplicate=False)


def again(each: Addition) -> Receipt:
    return Receipt(each.message.message_id, AT, duplicate=True)


def stored(store: SQLiteStore) -> list[bytes]:
    return sorted(store.read(each.message_id) for each in store.search(Query()))


def contents(data_dir: Path) -> list[bytes]:
    """The content of each record that a reader finds in the segments."""
    found = []
    for path in sorted((data_dir / "segments").iterdir()):
        raw = path.read_bytes()
        with path.open("rb") as file:
            for part in SegmentReader(file.fileno(), path.name).parts():
                assert isinstance(part, Record)
                assert part.is_intact
                found.append(raw[part.content_start :][: part.content_bytes])
    return sorted(found)


def test_repeats_in_and_before_a_group(
    writer: Writer, segments: Segments, store: SQLiteStore, data_dir: Path
) -> None:
    """The first of a key in a group is stored, later ones and keys stored before are repeats."""
    old = addition(segments, b"old", "old")
    assert commit(writer, [old]) == [first(old)]

    group = [addition(segments, b"%d" % n, key) for n, key in enumerate("abaca")]
    group.insert(2, addition(segments, b"old again", "old"))
    a, b, _old, _a, c, _a2 = group
    assert commit(writer, group) == [first(a), first(b), again(old), again(a), first(c), again(a)]
    assert stored(store) == contents(data_dir) == [b"0", b"1", b"3", b"old"]


def test_what_cannot_be_written_is_refused_before(segments: Segments) -> None:
    """A lone surrogate in the subject raises while the message is alone, not in a group."""
    with pytest.raises(UnicodeEncodeError):
        addition(segments, b"x", "bad", "\ud800")


Break = Callable[[BaseException], None]


@pytest.fixture
def break_next(monkeypatch: pytest.MonkeyPatch) -> Break:
    """Return a function that lets the next commit fail when its rows are written."""

    def broken(error: BaseException) -> None:
        errors = [error]

        def fail_once(*given: Any) -> None:
            if errors:
                raise errors.pop()
            make_deliveries(*given)

        monkeypatch.setattr("app.storage.sqlite.writer.make_deliveries", fail_once)

    return broken


def add_empty(store: SQLiteStore, key: str) -> str:
    message = Message(new_message_id(AT), AT, Envelope("a@b", "c@d"), "", key)
    return store.add(message, store.new_body()).message_id


@pytest.mark.parametrize("size", [5, LARGE])
def test_a_group_without_rows_leaves_no_records(
    break_next: Break, writer: Writer, store: SQLiteStore, data_dir: Path, size: int
) -> None:
    """All of it is taken back, and nothing follows in a file that was shortened."""
    segments = writer._segments
    kept = addition(segments, b"kept", "kept")
    commit(writer, [kept])
    [shortened] = (data_dir / "segments").iterdir()
    before = shortened.read_bytes()

    break_next(OSError(5, "broken"))
    group = [addition(segments, raw * size, raw.decode()) for raw in (b"a", b"b")]
    assert commit(writer, [*group, addition(segments, b"a", "a")]) == [None] * 3
    assert {type(each.error) for each in group} == {OSError}
    assert contents(data_dir) == [b"kept"]

    again = addition(segments, b"a" * size, "a")
    assert commit(writer, [again]) == [first(again)]
    assert shortened.read_bytes() == before
    assert stored(store) == contents(data_dir) == [b"a" * size, b"kept"]


@pytest.mark.parametrize("size", [5, LARGE])
def test_a_commit_that_sqlite_refuses_stores_nothing(
    engine: Engine, segments: Segments, store: SQLiteStore, data_dir: Path, size: int
) -> None:
    """Its error is the group's, and is noted; the next group is stored by another connection."""
    refused = ["COMMIT"]
    noted: list[sqlite3.Error] = []

    def decide(_action: int, operation: str | None, *_: str | None) -> int:
        return sqlite3.SQLITE_DENY if operation in refused else sqlite3.SQLITE_OK

    event.listen(engine, "connect", lambda driver, _: driver.set_authorizer(decide))
    with closing(Writer(engine, segments, data_dir / "commit.lock", noted.append)) as writer:
        group = [addition(segments, raw * size, raw.decode()) for raw in (b"a", b"b")]
        assert commit(writer, group) == [None] * 2
        assert [each.error for each in group] == noted * 2
        assert {type(error) for error in noted} == {sqlite3.DatabaseError}
        assert contents(data_dir) == []
        refused.clear()
        again = addition(segments, b"a" * size, "a")
        assert commit(writer, [again]) == [first(again)]
        assert stored(store) == contents(data_dir) == [b"a" * size]


def test_repeats_are_known_though_a_group_fails(
    break_next: Break, writer: Writer, segments: Segments
) -> None:
    """What is durable is answered with its receipt, whatever breaks afterwards."""
    old = addition(segments, b"old", "old")
    commit(writer, [old])
    break_next(OSError(5, "broken"))
    group = [addition(segments, b"old", "old"), addition(segments, b"new", "new")]
    assert commit(writer, group) == [again(old), None]
    assert group[0].error is None


def test_numbers_rise_over_writers_and_clocks(
    engine: Engine, writer: Writer, segments: Segments, store: SQLiteStore, data_dir: Path
) -> None:
    """Those of two processes never meet, also if the last was far ahead of the clock."""
    other = Writer(engine, Segments(data_dir / "segments"), data_dir / "commit.lock", ignore)
    far = microseconds() + 10**12
    with closing(other):
        for number, each in enumerate([writer, other, writer, other]):
            commit(each, [addition(segments, b"%d" % number, f"{number}")])
            if number == 1:
                (data_dir / "commit.lock").write_text(str(far))
    found = list(store.search(Query(oldest_first=True)))
    assert [store.read(each.message_id) for each in found] == [b"0", b"1", b"2", b"3"]
    assert found[2].number == far + 1


@pytest.mark.parametrize("note", ["", "0190b9a8-7a6e-7000-8000-000000000000", "\0" * 36])
def test_a_lost_note_repeats_no_number(
    writer: Writer, segments: Segments, store: SQLiteStore, data_dir: Path, note: str
) -> None:
    """The index knows the last number, if the clock doesn't."""
    commit(writer, [addition(segments, b"1", "1")])
    (data_dir / "commit.lock").write_text(str(microseconds() + 10**12))
    commit(writer, [addition(segments, b"2", "2")])
    (data_dir / "commit.lock").write_text(note)
    commit(writer, [addition(segments, b"3", "3")])
    numbers = [each.number for each in store.search(Query(oldest_first=True))]
    assert numbers == sorted(set(numbers))
    assert [store.read(each.message_id) for each in store.search(Query())] == [b"3", b"2", b"1"]


def test_large_and_small_messages_in_one_group(
    writer: Writer, segments: Segments, store: SQLiteStore, data_dir: Path
) -> None:
    """Each gets its own bytes, whatever its place; the small ones share one segment."""
    raws = [b"a", b"B" * LARGE, b"c", b"D" * LARGE, b"", b"e"]
    group = [addition(segments, raw, str(number)) for number, raw in enumerate(raws)]
    assert commit(writer, group) == [first(each) for each in group]
    assert [store.read(each.message.message_id) for each in group] == raws
    assert len(list((data_dir / "segments").iterdir())) == 3
    assert contents(data_dir) == sorted(raws)


def test_a_lock_that_others_keep_fails_the_group_in_time(
    engine: Engine, segments: Segments, data_dir: Path
) -> None:
    """Nothing is stored and no byte is left behind; once the lock is free, all is."""
    writer = Writer(engine, segments, data_dir / "commit.lock", ignore, wait_seconds=0.2)
    with closing(writer):
        kept = addition(segments, b"kept", "kept")
        commit(writer, [kept])
        group = [addition(segments, raw, str(raw[:1])) for raw in (b"a", b"B" * LARGE, b"c")]
        with locked(data_dir / "commit.lock"):
            assert commit(writer, group) == [None] * 3
        assert {type(each.error) for each in group} == {TimeoutError}
        assert contents(data_dir) == [b"kept"]
        again = [addition(segments, raw, str(raw[:1])) for raw in (b"a", b"B" * LARGE, b"c")]
        assert commit(writer, again) == [first(each) for each in again]


def test_rows_of_an_interrupted_group_are_never_called_stored(
    break_next: Break, writer: Writer, segments: Segments, store: SQLiteStore
) -> None:
    """After any exception before the commit a repeat is new: it isn't found in the remains."""
    break_next(MemoryError())
    with pytest.raises(MemoryError):
        commit(writer, [addition(segments, b"x", "key")])

    add_empty(store, "other")  # no lock was left behind
    repeat = addition(segments, b"x", "key")
    assert commit(writer, [repeat]) == [first(repeat)]
    assert store.read(repeat.message.message_id) == b"x"


@pytest.mark.parametrize("size", [10, LARGE])
def test_no_completion_takes_what_is_on_its_way(
    store: SQLiteStore,
    engine: Engine,
    data_dir: Path,
    size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another server that starts at any step of a commit, full segment or not, changes nothing."""
    completed = []

    def and_complete(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def wrapped(*arguments: object) -> object:
            result = original(*arguments)
            completed.append(name)
            assert store.complete() == Completed()
            return result

        monkeypatch.setattr(owner, name, wrapped)

    for owner, name in ((SegmentFile, "write"), (SegmentFile, "sync"), (Writer, "commit")):
        and_complete(owner, name)
    # A completion that needs the commit lock would wait for the writer here: none does.
    and_complete(Segments, "append")
    for name in ("_write_records", "_store"):
        and_complete(Writer, name)
    segments = Segments(data_dir / "segments", segment_bytes=1)  # every segment is full at once
    writer = Writer(engine, segments, data_dir / "commit.lock", ignore)
    for number in range(3):
        [receipt] = commit(writer, [addition(segments, b"x" * size, f"{number}")])
        assert receipt is not None
        assert store.read(receipt.message_id) == b"x" * size
    assert {"append", "_write_records", "_store"} <= set(completed)
    writer.close()
    segments.close()
