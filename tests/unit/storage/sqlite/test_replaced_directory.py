"""A server whose data directory was replaced belongs to the new one, with all that it holds."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest
from support.store import add, stored

from app.errors import StorageUnavailable
from app.settings import Storage
from app.storage.interface import Query
from app.storage.preparation import reindex
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.rebuilding import why_unusable
from app.storage.sqlite.store import SQLiteStore


def replace(data_dir: Path) -> None:
    """Put a copy in the place of the directory, which stays at another one."""
    shutil.copytree(data_dir, data_dir.with_name("copy"))
    data_dir.rename(data_dir.with_name("old"))
    data_dir.with_name("copy").rename(data_dir)


def test_the_index_isnt_replaced_beside_it(data_dir: Path) -> None:
    """From its first write on `store reindex` is refused, and a repeat gets the first one's id."""
    create_store(data_dir).close()
    with closing(SQLiteStore(data_dir)) as store:
        add(store, b"first", "1")
        replace(data_dir)
        with pytest.raises(StorageUnavailable):
            add(store, b"second", "2")
        add(store, b"second", "2")
        with pytest.raises(StorageUnavailable, match="stop the server first"):
            reindex(Storage(data_dir), lambda _: None)
        third = add(store, b"third", "3")
        with closing(SQLiteStore(data_dir)) as other:
            assert add(other, b"third", "3") == third
            assert stored(other) == stored(store)
    reindex(Storage(data_dir), lambda _: None)
    with closing(create_store(data_dir)) as store:
        assert sorted(stored(store).values()) == [b"first", b"second", b"third"]


def test_the_old_index_may_be_replaced(data_dir: Path) -> None:
    """Nothing keeps a command from the directory that was moved away."""
    with closing(create_store(data_dir)) as store:
        message_id = add(store, b"first", "1")
        replace(data_dir)
        with pytest.raises(StorageUnavailable):
            add(store, b"second", "2")
        add(store, b"second", "2")
        old = data_dir.with_name("old")
        reindex(Storage(old), lambda _: None)
        with closing(SQLiteStore(old)) as other:
            assert stored(other) == {message_id: b"first"}


def test_a_new_directory_that_is_being_made_anew_is_waited_for(data_dir: Path) -> None:
    """While `store reindex` has the new directory, the server answers 503; afterwards it works."""
    with closing(create_store(data_dir)) as store:
        add(store, b"first", "1")
        replace(data_dir)
        with pytest.raises(StorageUnavailable):
            add(store, b"second", "2")
        refused = []

        def try_to_write(_bytes: int) -> None:
            with pytest.raises(StorageUnavailable) as caught:
                add(store, b"second", "2")
            refused.append(str(caught.value.__cause__))

        reindex(Storage(data_dir), try_to_write)
        assert "being made anew" in refused[0]
        add(store, b"second", "2")
        assert sorted(stored(store).values()) == [b"first", b"second"]


def test_a_process_that_has_only_read_before_writes_to_the_new_one(data_dir: Path) -> None:
    """A connection that it has kept isn't used again: others know at once what it acknowledges."""
    create_store(data_dir).close()
    with closing(SQLiteStore(data_dir)) as store:
        assert list(store.search(Query())) == []
        replace(data_dir)
        message_id = add(store, b"mail")
        with closing(SQLiteStore(data_dir)) as other:
            assert add(other, b"mail") == message_id
            assert stored(other) == {message_id: b"mail"}


def test_a_checkpoint_is_of_the_directory_whose_note_it_writes(data_dir: Path) -> None:
    """Otherwise the next start would take the new index for an older one."""
    create_store(data_dir).close()
    with closing(SQLiteStore(data_dir)) as store:
        add(store, b"mail")
        store._checkpoints._checkpoint()
        replace(data_dir)
        create_store(data_dir).close()
        for _ in range(3):
            store._checkpoints._checkpoint()
    assert why_unusable(data_dir) is None
