"""Retention on several hosts, of which one at a time may delete what has to go."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.deliveries import add_for
from support.hosts import listed, make_hosts, queue_ids, start_hosts, start_together
from support.plain_mail import plain_mail
from support.postgresql_server import PostgreSQLServer
from support.server import NewServer, wait_for

from app.errors import StorageUnavailable
from app.retention.expiry import Expiry
from app.settings import Storage
from app.settings.model import Retention
from app.storage.interface import MessageStore
from app.storage.postgresql.store import PostgreSQLStore
from app.storage.preparation import prepare_store

LEFT = 5
MESSAGES = 20


@pytest.fixture(scope="module")
def database_server() -> Iterator[PostgreSQLServer]:
    """Return the server with the databases of all tests here."""
    with PostgreSQLServer() as server:
        yield server


def expiry(store: MessageStore, most_bytes: int) -> Expiry:
    """Return retention that keeps so many bytes."""
    limits = Retention(days=0, max_bytes=most_bytes, deduplication_days=7)
    return Expiry(store, limits, lambda: datetime.now(UTC), time.monotonic, lambda _: None)


def test_a_host_retains_only_while_no_other_does(
    database_server: PostgreSQLServer, tmp_path: Path
) -> None:
    """It deletes nothing during the turn of another host, which ends with that host at the latest.

    A pool of a single connection is enough for it.
    """
    storage = Storage(tmp_path / "data", database_server.new_database(), pool_size=1)
    prepare_store(storage)
    with closing(PostgreSQLStore(storage)) as first, closing(PostgreSQLStore(storage)) as second:
        for _ in range(MESSAGES):
            add_for(first)
        most_bytes = first.statistics().bytes * LEFT // MESSAGES
        turn = ExitStack()
        assert turn.enter_context(first.retention_turn())
        expiry(second, most_bytes).run()
        assert second.statistics().messages == MESSAGES
        database_server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        )
        expiry(second, most_bytes).run()
        assert second.statistics().messages == LEFT
        with pytest.raises(StorageUnavailable):
            turn.close()


def test_two_hosts_delete_no_more_than_has_to_go(
    database_server: PostgreSQLServer, new_server: NewServer
) -> None:
    """Both begin at once; the oldest are deleted, and counted once."""
    database_url = database_server.new_database()
    raw = plain_mail("retained", b"x" * 10_000)
    [host] = start_hosts(new_server, database_url, count=1, workers=1)
    for number in range(MESSAGES):
        assert host.deliver(raw, X_Original_Queue_Id=f"queue{number:02}").status == 200
    host.stop()
    most = LEFT * len(raw)
    limits = {"retention_max_bytes": most, "max_message_size": most}
    hosts = make_hosts(new_server, database_url, workers=1, **limits)
    start_together(hosts)
    wait_for(lambda: len(listed(hosts[0])) <= LEFT, 30)
    assert queue_ids(hosts[1]) == [f"queue{number}" for number in range(MESSAGES - LEFT, MESSAGES)]
    deleted = wait_for(lambda: hosts[0].scrape().value("messages_deleted_total"))
    assert deleted == MESSAGES - LEFT
