"""A server that doesn't answer ends in StorageUnavailable in time, and is left alone afterwards."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError
from support.commit_swallower import CommitSwallower
from support.postgresql_databases import Databases
from support.server import wait_for
from support.store import add, stored

from app.errors import StorageUnavailable
from app.settings import Storage
from app.storage.interface import Query
from app.storage.postgresql import connections
from app.storage.postgresql.spooled_body import LARGE_MESSAGE_BYTES, PART_BYTES
from app.storage.postgresql.store import PostgreSQLStore

NewStore = Callable[[], PostgreSQLStore]


def processes(databases: Databases, url: str) -> set[int]:
    """Return the server's processes for connections of GoMail to a database."""
    name = url.rpartition("/")[2]
    rows = databases.server.execute(
        f"SELECT pid FROM pg_stat_activity WHERE datname = '{name}' AND application_name = 'gomail'"
    )
    return {row[0] for row in rows}


def is_stored(store: PostgreSQLStore, number: int) -> bool:
    """Return whether one more than `number` messages are stored."""
    return store.count(Query()) == number + 1


def test_a_frozen_server_is_given_up(
    databases: Databases, store: PostgreSQLStore, database_url: str
) -> None:
    """After the time limit; the next request has another connection and works."""
    add(store, b"1", "first")
    [frozen] = processes(databases, database_url)
    os.kill(frozen, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(StorageUnavailable):
            add(store, b"2", "second")
        assert 1.5 < time.monotonic() - began < 4
        add(store, b"3", "third")
        [other] = processes(databases, database_url) - {frozen}
    finally:
        os.kill(frozen, signal.SIGCONT)
    wait_for(lambda: processes(databases, database_url) == {other}, 10)
    # It had received the statement, and nobody has cancelled it.
    assert sorted(stored(store).values()) in ([b"1", b"3"], [b"1", b"2", b"3"])


@pytest.mark.parametrize("size", [10, PART_BYTES + 1, LARGE_MESSAGE_BYTES + 1])
def test_a_lock_is_not_waited_for_longer(
    store: PostgreSQLStore, database_url: str, size: int
) -> None:
    """Somebody who holds a lock delays no request beyond the time limit; the repeat is stored."""
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE message IN SHARE MODE")
        began = time.monotonic()
        with pytest.raises(StorageUnavailable):
            add(store, b"x" * size)
        assert 1.5 < time.monotonic() - began < 4
        assert stored(store) == {}
    message_id = add(store, b"x" * size)
    assert stored(store) == {message_id: b"x" * size}


def test_a_pool_without_a_free_connection_is_an_outage(
    settings: Storage, databases: Databases, database_url: str
) -> None:
    """Requests that all wait for the same lock don't keep others waiting for ever."""
    store = PostgreSQLStore(Storage(settings.data_dir, database_url, pool_size=1, timeout=1))
    reader = store.search(Query())
    assert list(reader) == []
    with store._connections.statements(), pytest.raises(StorageUnavailable):
        store.get("019ca945-0a01-7b76-84b5-b2a9a8215155")
    store.close()


@pytest.mark.parametrize("size", [10, LARGE_MESSAGE_BYTES + 1])
def test_the_repeat_after_a_swallowed_answer_is_a_duplicate(
    databases: Databases, settings: Storage, database_url: str, size: int
) -> None:
    """The connection breaks after the commit, before the answer: the first copy is the message."""
    with CommitSwallower(databases.server.port) as proxy:
        url = database_url.replace(str(databases.server.port), str(proxy.port))
        store = PostgreSQLStore(Storage(settings.data_dir, url, timeout=5))
        for number in range(5):
            proxy.swallow(1)
            with pytest.raises(StorageUnavailable):
                add(store, b"1" * size, f"key-{number}")
            wait_for(partial(is_stored, store, number), 10)
            repeated = add(store, b"2" * size, f"key-{number}")
            assert store.read(repeated) == b"1" * size
        assert store.count(Query()) == 5
        store.close()


def test_a_server_that_comes_back_is_used_again(
    databases: Databases, store: PostgreSQLStore, database_url: str
) -> None:
    """Connections that the server has ended while they were idle are replaced; nothing fails."""
    add(store, b"x", "before")
    ended = processes(databases, database_url)
    for process in ended:
        databases.server.execute(f"SELECT pg_terminate_backend({process})")
    wait_for(lambda: not ended & processes(databases, database_url))
    add(store, b"x", "after")
    assert processes(databases, database_url)


@pytest.mark.parametrize("kind", ["transaction", "durable_transaction"])
def test_a_host_that_vanishes_in_a_transaction_holds_readers_up_for_a_while_only(
    store: PostgreSQLStore, new_store: NewStore, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The server ends the transaction; that of retention's turn, which is meant to idle, stays."""
    monkeypatch.setattr(connections, "IDLE_SECONDS", 1)
    add(store, b"1", "before")
    with new_store().retention_turn() as is_ours:
        assert is_ours
        vanished = ExitStack()
        connection = vanished.enter_context(getattr(new_store()._connections, kind)())
        connection.exec_driver_sql("SELECT pg_current_xact_id()")
        add(store, b"2", "meanwhile")
        assert sorted(stored(store).values()) == [b"1"]
        wait_for(lambda: sorted(stored(store).values()) == [b"1", b"2"], 10)
        with pytest.raises(DBAPIError, match="idle-in-transaction timeout"):
            vanished.close()
        with store.retention_turn() as is_free:
            assert not is_free
