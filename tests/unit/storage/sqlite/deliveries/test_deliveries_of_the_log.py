"""Deliveries are made of what the segments say, whatever the database has lost."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.damage import garbage_database, missing_database
from support.deliveries import add_for, claim, delivered, failed, states
from support.killed import Report, killed_after
from support.store import start

from app.errors import StorageUnavailable
from app.storage.delivery import DeliveryQuery, State
from app.storage.interface import MessageStore
from app.storage.message import Reason
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore


def destinations(store: MessageStore) -> list[tuple[str, str, str]]:
    """Return message, endpoint and recipient of each delivery, in the order they were made."""
    found = store.deliveries.find(DeliveryQuery(oldest_first=True, limit=1000)).deliveries
    return [(each.message_id, each.endpoint, each.recipient) for each in found]


def test_a_start_makes_the_deliveries_of_what_it_adds(data_dir: Path) -> None:
    """A power cut has taken the last rows: their records tell the endpoints. Others stay as is."""
    with closing(create_store(data_dir)) as store:
        first = add_for(store, "app")
        store.deliveries.finish([delivered(claim(store.deliveries)[0])])
        last = store.get(first.message_id).number
        second, _, third = add_for(store, "app", "log"), add_for(store), add_for(store, "log")
        gone = add_for(store, "app")
        store.remove([gone.message_id], Reason.REQUEST)
        before = destinations(store)
    change(data_dir, f"DELETE FROM message WHERE number > {last}")
    with closing(SQLiteStore(data_dir)) as store:
        assert [message for message, *_ in destinations(store)] == [first.message_id]
    with closing(start(data_dir)) as store:
        assert destinations(store) == before
        assert [message for message, *_ in before[1:]] == [
            second.message_id,
            second.message_id,
            third.message_id,
        ]
        assert states(store) == [State.DELIVERED, *[State.PENDING] * 3]


def change(data_dir: Path, statement: str) -> None:
    """Do something to the database."""
    with closing(sqlite3.connect(data_dir / "gomail.db")) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize("damage", [missing_database, garbage_database])
def test_an_index_made_anew_has_the_deliveries(
    data_dir: Path, damage: Callable[[Path], None]
) -> None:
    """Those of what is stored, in the same order; of what was deleted none."""
    with closing(create_store(data_dir)) as store:
        receipts = [add_for(store, "app", "log", recipient=f"{n}@example.com") for n in range(5)]
        add_for(store)
        store.remove([receipts[2].message_id], Reason.REQUEST)
        before = destinations(store)
        last = store.deliveries.find(DeliveryQuery(limit=1)).position or 0
    damage(data_dir)
    with closing(start(data_dir)) as store:
        assert destinations(store) == before
        numbers = store.deliveries.find(DeliveryQuery(oldest_first=True)).deliveries
        assert min(each.number for each in numbers) > last
        claims = claim(store.deliveries)
        assert [each.delivery.message_id for each in claims] == [
            message for message, endpoint, _ in before if endpoint == "app"
        ]


def test_a_number_is_never_used_again(data_dir: Path) -> None:
    """Not when the note of the last one is lost, nor by a message."""
    with closing(create_store(data_dir)) as store:
        receipt = add_for(store, *(f"app{number}" for number in range(50)))
        last = store.deliveries.find(DeliveryQuery(limit=1)).position or 0
    (data_dir / "commit.lock").unlink()
    with closing(SQLiteStore(data_dir)) as store:
        following = add_for(store, "app")
        assert store.get(receipt.message_id).number < last
        assert store.get(following.message_id).number > last


def test_a_commit_that_fails_makes_none(data_dir: Path) -> None:
    """Message and deliveries are kept together or not at all."""
    with closing(create_store(data_dir)) as store:
        change(
            data_dir,
            "CREATE TRIGGER broken BEFORE INSERT ON delivery"
            " BEGIN SELECT RAISE(ABORT, 'broken'); END",
        )
        with pytest.raises(StorageUnavailable):
            add_for(store, "app", key="same")
        change(data_dir, "DROP TRIGGER broken")
        assert destinations(store) == []
        assert not add_for(store, "app", key="same").duplicate
        assert len(destinations(store)) == 1


def test_what_was_done_survives_a_kill(data_dir: Path) -> None:
    """Results, claims and attempts are those of the last commit; nothing has to be closed."""
    create_store(data_dir).close()

    def work(report: Report) -> None:
        store = SQLiteStore(data_dir)
        for _ in range(3):
            add_for(store, "app")
        claims = claim(store.deliveries)
        store.deliveries.finish([delivered(claims[0]), failed(claims[1], 30)])
        store.deliveries.pause("app", "by hand")
        report(None)

    killed_after(work)
    with closing(start(data_dir)) as store:
        assert states(store) == [State.DELIVERED, State.PENDING, State.PENDING]
        assert store.deliveries.paused() == {"app": "by hand"}
        assert len(claim(store.deliveries, seconds=30)) == 1
        assert len(claim(store.deliveries, seconds=60)) == 1
