from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event

from app.state.lock_file import locked
from app.storage.ids import new_message_id
from app.storage.interface import Query
from app.storage.message import Envelope, Message, Receipt
from app.storage.segments.directory import Segments
from app.storage.segments.segment_file import SegmentFile
from app.storage.segments.spooled_body import LARGE_MESSAGE_BYTES, SpooledBody
from app.storage.sqlite.database import connect
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
    writer = Writer(engine, segments, data_dir / "commit.lock")
    yield writer
    writer.close()


def addition(segments: Segments, raw: bytes, key: str, subject: str = "") -> Addition:
    message = Message(new_message_id(AT), AT, Envelope("a@b", "c@d"), subject, key)
    body = SpooledBody(segments.open_file)
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


def bytes_on_disk(data_dir: Path) -> int:
    return sum(path.stat().st_size for path in (data_dir / "segments").iterdir())


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
    assert stored(store) == [b"0", b"1", b"3", b"old"]
    assert bytes_on_disk(data_dir) == len(b"013old")


@pytest.mark.parametrize("size", [3, LARGE])
def test_a_row_that_cannot_be_stored_fails_alone(
    writer: Writer, segments: Segments, store: SQLiteStore, data_dir: Path, size: int
) -> None:
    """A lone surrogate or a NULL keeps one message out, and the repeats of it; no others."""
    bad = addition(segments, b"x" * size, "bad", "\ud800")
    repeat = addition(segments, b"y" * size, "bad")
    null = addition(segments, b"z" * size, "null")
    null.message = replace(null.message, subject=None)  # type: ignore[arg-type]
    good = [addition(segments, b"good%d" % n, f"good{n}") for n in range(2)]

    receipts = commit(writer, [good[0], bad, repeat, null, good[1]])
    assert receipts == [first(good[0]), None, None, None, first(good[1])]
    assert isinstance(bad.error, UnicodeEncodeError)
    assert repeat.error is bad.error
    assert null.error is not None
    assert good[0].error is good[1].error is None
    assert stored(store) == [b"good0", b"good1"]

    healed = addition(segments, b"healed", "bad")
    assert commit(writer, [healed]) == [first(healed)]
    if size == LARGE:
        assert bytes_on_disk(data_dir) == len(b"good0good1healed")


class Faster:
    """Another process that stores messages between the writer's look-up and its insert."""

    def __init__(self, engine: Engine, store: SQLiteStore, keys: Sequence[str]) -> None:
        self._store = store
        self._keys = keys
        self._look_ups = 0
        self.ids: list[str] = []
        self.breaks_second_look_up = False
        event.listen(engine, "rollback", self._after_look_up)

    def _after_look_up(self, _connection: Connection) -> None:
        self._look_ups += 1
        if self._look_ups == 1:
            self.ids += [add_empty(self._store, key) for key in self._keys]
        elif self._look_ups == 2 and self.breaks_second_look_up:
            raise OSError(5, "broken")


def add_empty(store: SQLiteStore, key: str) -> str:
    message = Message(new_message_id(AT), AT, Envelope("a@b", "c@d"), "", key)
    return store.add(message, store.new_body()).message_id


@pytest.mark.parametrize("size", [5, LARGE])
def test_another_process_was_faster(
    engine: Engine, writer: Writer, store: SQLiteStore, data_dir: Path, size: int
) -> None:
    """Its receipt is given; the bytes at the end are taken back, and the next follow there."""
    segments = writer._segments
    group = [addition(segments, raw * size, raw.decode()) for raw in (b"a", b"b", b"c")]
    faster = Faster(engine, store, "bc")
    receipts = commit(writer, group)
    assert receipts[0] == first(group[0])
    assert receipts[1:] == [Receipt(each, AT, duplicate=True) for each in faster.ids]
    assert bytes_on_disk(data_dir) == size

    following = addition(segments, b"next", "next")
    assert commit(writer, [following]) == [first(following)]
    assert stored(store) == [b"", b"", b"a" * size, b"next"]
    assert bytes_on_disk(data_dir) == size + 4


def test_bytes_before_a_stored_message_stay(
    engine: Engine, writer: Writer, segments: Segments, store: SQLiteStore
) -> None:
    """Only the end of a segment is taken back: what has a row isn't moved or cut."""
    group = [addition(segments, key.encode() * 5, key) for key in "abc"]
    faster = Faster(engine, store, "ab")
    assert commit(writer, group)[2] == first(group[2])
    assert len(faster.ids) == 2
    commit(writer, [addition(segments, b"next", "next")])
    assert stored(store) == [b"", b"", b"ccccc", b"next"]


def test_an_empty_message_hides_nothing_from_the_sweep(
    engine: Engine, writer: Writer, segments: Segments, store: SQLiteStore
) -> None:
    """It lies where another begins, or none; a sweep cuts neither that nor what follows."""
    beaten = addition(segments, b"beaten", "beaten")
    empty = addition(segments, b"", "empty")
    Faster(engine, store, ["beaten"])
    commit(writer, [beaten, empty])
    last, late = addition(segments, b"longer than that", "last"), addition(segments, b"", "late")
    late.message = replace(late.message, message_id=new_message_id(AT + timedelta(seconds=1)))
    commit(writer, [late, last])
    segments.close()
    writer.close()
    store.sweep()
    assert stored(store) == [b"", b"", b"", b"longer than that"]


def test_large_and_small_messages_in_one_group(
    writer: Writer, segments: Segments, store: SQLiteStore, data_dir: Path
) -> None:
    """Each gets its own bytes, whatever its place; the small ones share one segment."""
    raws = [b"a", b"B" * LARGE, b"c", b"D" * LARGE, b"", b"e"]
    group = [addition(segments, raw, str(number)) for number, raw in enumerate(raws)]
    assert commit(writer, group) == [first(each) for each in group]
    assert [store.read(each.message.message_id) for each in group] == raws
    sizes = sorted(path.stat().st_size for path in (data_dir / "segments").iterdir())
    assert sizes == [3, LARGE, LARGE]


def test_a_lock_that_others_keep_fails_the_group_in_time(
    engine: Engine, segments: Segments, data_dir: Path
) -> None:
    """Nothing is stored and no byte is left behind; once the lock is free, all is."""
    writer = Writer(engine, segments, data_dir / "commit.lock", wait_seconds=0.2)
    with closing(writer):
        kept = addition(segments, b"kept", "kept")
        commit(writer, [kept])
        group = [addition(segments, raw, str(raw[:1])) for raw in (b"a", b"B" * LARGE, b"c")]
        with locked(data_dir / "commit.lock"):
            assert commit(writer, group) == [None] * 3
        assert {type(each.error) for each in group} == {TimeoutError}
        sizes = [path.stat().st_size for path in (data_dir / "segments").iterdir()]
        assert sizes == [len(b"kept")]
        again = [addition(segments, raw, str(raw[:1])) for raw in (b"a", b"B" * LARGE, b"c")]
        assert commit(writer, again) == [first(each) for each in again]


def test_a_failed_look_up_after_the_commit_fails_nobody_that_is_stored(
    engine: Engine, writer: Writer, segments: Segments, store: SQLiteStore
) -> None:
    """What is durable is answered with its receipt, whatever breaks afterwards."""
    group = [addition(segments, key.encode(), key) for key in "ab"]

    Faster(engine, store, "b").breaks_second_look_up = True
    receipts = commit(writer, group)
    assert receipts == [first(group[0]), None]
    assert group[0].error is None
    assert isinstance(group[1].error, OSError)
    assert store.read(group[0].message.message_id) == b"a"


def test_rows_of_an_interrupted_group_are_never_called_stored(
    engine: Engine, writer: Writer, segments: Segments, store: SQLiteStore
) -> None:
    """After any exception before the commit a repeat is new: it isn't found in the remains."""

    interruptions = [MemoryError()]

    def interrupt(_connection: Connection) -> None:
        if interruptions:
            raise interruptions.pop()

    event.listen(engine, "commit", interrupt)
    with pytest.raises(MemoryError):
        commit(writer, [addition(segments, b"x", "key")])

    add_empty(store, "other")  # no lock was left behind
    repeat = addition(segments, b"x", "key")
    assert commit(writer, [repeat]) == [first(repeat)]
    assert store.read(repeat.message.message_id) == b"x"


@pytest.mark.parametrize("size", [10, LARGE])
def test_no_sweep_takes_bytes_whose_rows_are_on_their_way(
    store: SQLiteStore,
    engine: Engine,
    data_dir: Path,
    size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another server that starts at any step of a commit, full segment or not, removes nothing."""
    sweeps = []

    def and_sweep(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def wrapped(*arguments: object) -> object:
            result = original(*arguments)
            sweeps.append(name)
            store.sweep()
            return result

        monkeypatch.setattr(owner, name, wrapped)

    for owner, name in (
        (SegmentFile, "write"),
        (SegmentFile, "sync"),
        (Segments, "append"),
        (Writer, "_write_bytes"),
        (Writer, "_store"),  # while rows are inserted, the sweep waits for the commit lock
    ):
        and_sweep(owner, name)
    segments = Segments(data_dir / "segments", segment_bytes=1)  # every segment is full at once
    writer = Writer(engine, segments, data_dir / "commit.lock")
    for number in range(3):
        [receipt] = commit(writer, [addition(segments, b"x" * size, f"{number}")])
        assert receipt is not None
        assert store.read(receipt.message_id) == b"x" * size
    assert {"append", "_write_bytes", "_store"} <= set(sweeps)
    writer.close()
    segments.close()
