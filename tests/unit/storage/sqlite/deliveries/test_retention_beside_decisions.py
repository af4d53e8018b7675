"""What becomes pending while retention is deleting it stays, whatever happens next."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from support.damage import missing_database
from support.deliveries import add_for, at, claim, delivered, numbers, states
from support.store import start

from app.storage.delivery import Replay, State
from app.storage.message import Reason
from app.storage.segments.directory import NewRecord, Place, Segments
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore


def retry(store: SQLiteStore, number: int) -> None:
    """Ask for the delivery with this number again."""
    assert store.deliveries.retry([number], at(1)) == [number]


def replay(store: SQLiteStore, _: int) -> None:
    """Ask for the first message again."""
    queue = store.deliveries
    assert queue.advance_replay(queue.add_replay(Replay("app")), 1, at(1)) == 1


@pytest.mark.parametrize("decide", [retry, replay])
def test_what_becomes_pending_meanwhile_stays(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, decide: Callable[[SQLiteStore, int], None]
) -> None:
    """Between the look and the deletion, too, and in a database that is made anew later."""
    append = Segments.append
    with closing(create_store(data_dir)) as store:
        kept, gone = (add_for(store, "app").message_id for _ in range(2))
        claims = claim(store.deliveries)
        store.deliveries.finish([delivered(each) for each in claims])

        def append_slowly(segments: Segments, records: Sequence[NewRecord]) -> list[Place]:
            places = append(segments, records)
            monkeypatch.undo()
            decide(store, numbers(claims)[0])
            return places

        monkeypatch.setattr(Segments, "append", append_slowly)
        assert store.remove([kept, gone], Reason.RETENTION) == [gone]
        assert State.PENDING in states(store)
        assert store.read(kept)
    missing_database(data_dir)
    with closing(start(data_dir)) as store:
        assert store.read(kept)
        assert store.ids_with_prefix(gone, 1) == []
