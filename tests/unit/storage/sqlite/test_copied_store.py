"""A copy in segments needs its database no more than the store that it was made of."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from support.copies import contents, copied
from support.damage import missing_database
from support.deliveries import add_for, claim, dead, delivered, states
from support.store import add, files_with, records, start, stored

from app.settings import Storage
from app.storage.body import Body
from app.storage.copied_stores import open_source
from app.storage.copying.copier import copy
from app.storage.delivery import State
from app.storage.message import Message, Reason
from app.storage.sqlite.copy_target import SQLiteTarget
from app.storage.sqlite.creation import create_store


def test_a_copy_whose_database_is_lost_has_the_same_mail(tmp_path: Path) -> None:
    """In its order; what was deleted stays deleted, and what is settled isn't delivered again."""
    source, target = tmp_path / "source", tmp_path / "target"
    with closing(create_store(source)) as store:
        ids = [add(store, b"x" * size, str(size)) for size in (1, 2_000_000, 3)]
        for number in range(3):
            add_for(store, "app", key=f"k{number}")
        claims = claim(store.deliveries, limit=2)
        store.deliveries.finish([delivered(claims[0]), dead(claims[1])])
        store.deliveries.pause("app", "gone")
        copied(Storage(source), Storage(target))
        store.remove(ids[:1], Reason.REQUEST)
        copied(Storage(source), Storage(target))
        expected = list(stored(store).items())
    with closing(start(target)) as copy:
        before = contents(copy)
    missing_database(target)
    with closing(start(target)) as copy:
        assert list(stored(copy).items()) == expected
        assert states(copy) == [State.DELIVERED, State.DEAD, State.PENDING]
        assert copy.deliveries.paused() == {"app": "gone"}
        assert add_for(copy, key="1").duplicate
        assert contents(copy)[0] == before[0]  # type: ignore[index]


class DamagingTarget(SQLiteTarget):
    """A target on a disk that loses what was written to it."""

    def add(self, messages: Sequence[tuple[Message, Body]]) -> None:
        """Store the messages, and damage them."""
        super().add(messages)
        for path in records(self._data_dir):
            path.write_bytes(path.read_bytes().replace(b"pineapple", b"pineappls"))


def test_a_copy_that_is_not_equal_is_named(tmp_path: Path) -> None:
    """What the target has stored is read and compared, not what was sent to it."""
    source, target = tmp_path / "source", tmp_path / "target"
    create_store(target).close()
    with closing(create_store(source)) as store:
        damaged = add(store, b"pineapple")
        add(store, b"intact", "another")
        with (
            closing(open_source(Storage(source))) as opened,
            closing(DamagingTarget(target)) as other,
        ):
            report = copy(opened, other)
    assert report.faults == [f"{damaged}: the target has stored other bytes"]
    assert report.copied == 1


def test_nothing_of_a_removed_message_is_left_in_the_copy(tmp_path: Path) -> None:
    """After the run that has found the deletion, its word is in no file of the target."""
    source, target = tmp_path / "source", tmp_path / "target"
    with closing(create_store(source)) as store:
        gone = add(store, b"pineapple", subject="pineapple")
        add(store, b"stays", "another")
        copied(Storage(source), Storage(target))
        assert files_with(target, b"pineapple")
        store.remove([gone], Reason.REQUEST)
        copied(Storage(source), Storage(target))
    assert files_with(target, b"pineapple") == []
