"""A database that is made anew doesn't deliver again what was settled."""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.damage import garbage_database, missing_database
from support.deliveries import add_for, at, claim, dead, delivered, failed, numbers, states
from support.killed import Report, killed_after
from support.store import start

from app.storage.delivery import DeliveryQuery, Replay, State
from app.storage.interface import MessageStore, Query
from app.storage.message import Reason
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.deliveries.settlement_files import Settlement, SettlementWriter, lines
from app.storage.sqlite.store import SQLiteStore

PENDING, DELIVERED, DEAD, DISCARDED = State
FAR = at(1e9)


def made_anew(data_dir: Path) -> SQLiteStore:
    """Return the store after a start that has lost the database."""
    missing_database(data_dir)
    return start(data_dir)


def files(data_dir: Path) -> list[Path]:
    """Return those that tell of settlements."""
    return sorted((data_dir / "settlements").iterdir())


def settle(store: MessageStore, count: int = 1) -> None:
    """Deliver so many."""
    claims = claim(store.deliveries, seconds=1000, limit=count)
    assert store.deliveries.finish([delivered(each) for each in claims]) == count


@pytest.mark.parametrize("damage", [missing_database, garbage_database])
def test_what_was_settled_stays_so(data_dir: Path, damage: Callable[[Path], None]) -> None:
    """Delivered, dead, poison or discarded, with time and reason; the rest is due."""
    create_store(data_dir).close()

    def work(report: Report) -> None:
        store = SQLiteStore(data_dir)
        for _ in range(6):
            add_for(store, "app", "log")
        queue = store.deliveries
        claims = claim(queue)
        queue.finish([delivered(claims[0]), dead(claims[1]), failed(claims[2], 30)])
        queue.discard(numbers(claims[3:4]))
        for seconds in (60, 120, 180, 240):
            claim(queue, seconds=seconds, in_order=True)
        found = queue.find(DeliveryQuery(oldest_first=True, limit=1000)).deliveries
        report([[each.state, each.reason, str(each.settled_at)] for each in found])

    [before] = killed_after(work)
    damage(data_dir)
    with closing(start(data_dir)) as store:
        found = store.deliveries.find(DeliveryQuery(oldest_first=True, limit=1000)).deliveries
        after = [[each.state, each.reason, str(each.settled_at)] for each in found]
        settled = [each if each[0] != PENDING else [PENDING, None, "None"] for each in before]
        assert after == settled
        assert [each[0] for each in before[::2]].count(PENDING) == 2
        assert {DELIVERED, DEAD, DISCARDED} < {each[0] for each in before}


def test_a_retry_survives(data_dir: Path) -> None:
    """The last that was done counts, whichever process did it, and when it is done again."""
    with closing(create_store(data_dir)) as one, closing(SQLiteStore(data_dir)) as other:
        for _ in range(3):
            add_for(one, "app")
        claims = claim(one.deliveries)
        one.deliveries.finish([delivered(each) for each in claims])
        other.deliveries.retry(numbers(claims[1:]), at(100))
        one.deliveries.finish([delivered(claim(one.deliveries, seconds=100, limit=1)[0])])
        before = states(one)
        assert len(files(data_dir)) == 2
    assert before == [DELIVERED, DELIVERED, PENDING]
    with closing(made_anew(data_dir)) as store:
        assert states(store) == before
        assert len(claim(store.deliveries, seconds=100)) == 1


def test_pauses_survive(data_dir: Path) -> None:
    """An endpoint that was paused gets no mail after a loss, unless it was resumed."""
    with closing(create_store(data_dir)) as store:
        for name in ("app", "log"):
            add_for(store, name)
            store.deliveries.pause(name, "gone")
        store.deliveries.pause("app", "request")
        store.deliveries.resume("log")
    with closing(made_anew(data_dir)) as store:
        assert store.deliveries.paused() == {"app": "request"}
        store.deliveries.resume("app")
    with closing(made_anew(data_dir)) as store:
        assert store.deliveries.paused() == {}


@pytest.mark.parametrize("garbage", [b"", b"\0" * 10, b'["app"]', b'{"app": 1}', b"\xff"])
def test_damaged_pauses_do_not_prevent_a_start(data_dir: Path, garbage: bytes) -> None:
    """Nothing is paused then; what a killed process has left is removed."""
    with closing(create_store(data_dir)) as store:
        add_for(store, "app")
        store.deliveries.pause("app", "gone")
    path = data_dir / "settlements" / "pauses.json"
    path.write_bytes(garbage)
    unfinished = path.with_name("pauses.json.new")
    unfinished.touch()
    with closing(made_anew(data_dir)) as store:
        assert store.deliveries.paused() == {}
        assert not unfinished.exists()


def test_replays_are_another_matter(data_dir: Path) -> None:
    """What a replay has delivered says nothing about the delivery that the message came with."""
    with closing(create_store(data_dir)) as store:
        add_for(store, "app")
        settle(store)
        number = store.deliveries.add_replay(Replay("app"))
        store.deliveries.advance_replay(number, 64, at(0))
        [replay] = claim(store.deliveries, replays=True)
        store.deliveries.finish([dead(replay)])
    with closing(made_anew(data_dir)) as store:
        assert states(store) == [DELIVERED]


def test_processes_take_turns_with_a_file(data_dir: Path) -> None:
    """Many commands one after the other need no more files than one."""
    with closing(create_store(data_dir)) as store:
        for _ in range(5):
            add_for(store, "app")
    for _ in range(5):
        with closing(SQLiteStore(data_dir)) as store:
            settle(store)
    assert len(files(data_dir)) == 1
    with closing(made_anew(data_dir)) as store:
        assert states(store) == [DELIVERED] * 5


def test_a_full_file_is_followed_by_another(tmp_path: Path) -> None:
    """Each line is in one of them, and all are read."""
    writer = SettlementWriter(tmp_path / "settlements", most_bytes=300)
    given = [(number, [Settlement("id", "app", "delivered", number, None)]) for number in range(20)]
    for number, settled in given:
        writer.append(number, settled)
    writer.close()
    paths = files(tmp_path)
    assert 2 < len(paths) < 8
    assert sorted(line for path in paths for line in lines(path)) == given


def test_a_torn_line_costs_only_itself(tmp_path: Path) -> None:
    """Wherever a file is cut off: what is whole before counts, and what is appended later."""
    directory = tmp_path / "settlements"
    one, two, three = ([Settlement(f"id{n}", "app", "dead", n, "exhausted")] for n in range(3))
    writer = SettlementWriter(directory)
    writer.append(1, one)
    end_of_one = files(tmp_path)[0].stat().st_size - 1  # without the end of the line
    writer.append(2, two)
    writer.close()
    [path] = files(tmp_path)
    whole = path.read_bytes()
    for kept in range(len(whole)):
        path.write_bytes(whole[:kept])
        writer.append(3, three)
        writer.close()
        expected = [(1, one)] * (kept >= end_of_one) + [(2, two)] * (kept >= len(whole) - 1)
        assert list(lines(path)) == [*expected, (3, three)]


@pytest.mark.parametrize("garbage", [b"\0" * 4096, b"\xff" * 100, b"00000000 []\n", b"x\n\n"])
def test_garbage_is_passed_over(tmp_path: Path, garbage: bytes) -> None:
    """Before, between and after lines."""
    directory = tmp_path / "settlements"
    writer = SettlementWriter(directory)
    settled = [Settlement("id", "app", "delivered", 1, None)]
    writer.append(1, settled)
    [path] = files(tmp_path)
    line = path.read_bytes()
    path.write_bytes(garbage + line + garbage + line + garbage)
    assert list(lines(path)) == [(1, settled), (1, settled)]


def test_a_file_goes_with_the_last_of_its_messages(data_dir: Path) -> None:
    """Not before, and not while somebody writes to it."""
    with closing(create_store(data_dir)) as store:
        receipts = [add_for(store, "app") for _ in range(3)]
        settle(store, 3)
    with closing(SQLiteStore(data_dir)) as store:
        store.remove([each.message_id for each in receipts[:2]], Reason.REQUEST)
        store.forget_deleted(FAR)
        assert len(files(data_dir)) == 1
        with closing(SQLiteStore(data_dir)) as writing:
            add_for(writing, "app")
            settle(writing)
            last = [each.message_id for each in writing.search(Query())]
            store.remove(last, Reason.REQUEST)
            store.forget_deleted(FAR)
            assert len(files(data_dir)) == 1
        store.forget_deleted(FAR)
        assert files(data_dir) == []


def test_a_replaced_directory_gets_files_of_its_own(data_dir: Path) -> None:
    """Nothing is written to one that was moved away."""
    with closing(create_store(data_dir)) as store:
        for _ in range(3):
            add_for(store, "app")
        settle(store)
        shutil.copytree(data_dir, data_dir.with_name("copy"))
        data_dir.rename(data_dir.with_name("moved"))
        moved = [path.read_bytes() for path in files(data_dir.with_name("moved"))]
        data_dir.with_name("copy").rename(data_dir)
        settle(store)
        assert [path.read_bytes() for path in files(data_dir.with_name("moved"))] == moved
