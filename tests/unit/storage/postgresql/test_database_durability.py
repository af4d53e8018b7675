"""Nothing is acknowledged while the server wouldn't keep it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.postgresql_databases import Databases
from support.postgresql_server import PostgreSQLServer
from support.server import wait_for
from support.store import add, stored

from app.errors import StorageUnavailable
from app.storage.message import Reason
from app.storage.postgresql.spooled_body import LARGE_MESSAGE_BYTES
from app.storage.postgresql.store import PostgreSQLStore

NewStore = Callable[[], PostgreSQLStore]
SIZES = [10, LARGE_MESSAGE_BYTES + 1]


@pytest.fixture
def server(databases: Databases, database_url: str) -> Iterator[PostgreSQLServer]:
    """Return the server, whose settings are undone before the database is dropped."""
    yield databases.server
    databases.server.execute("ALTER SYSTEM RESET ALL")
    databases.server.execute("SELECT pg_reload_conf()")
    # Before that is done, the next one might wait for a standby.
    wait_for(lambda: databases.server.execute("SHOW synchronous_standby_names") == [("",)], 10)
    databases.server.execute("ALTER ROLE gomail RESET ALL")


def refuses(work: Callable[[], object]) -> bool:
    try:
        work()
    except StorageUnavailable:
        return True
    return False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("synchronous_commit", "off"),
        ("synchronous_commit", "local"),
        ("fsync", "off"),
        ("full_page_writes", "off"),
    ],
)
@pytest.mark.parametrize("size", SIZES)
def test_a_setting_under_the_server_is_noticed(
    server: PostgreSQLServer, store: PostgreSQLStore, name: str, value: str, size: int
) -> None:
    """Connections that are open notice it; what is refused isn't stored, and the check fails."""
    keys = iter(range(1000))
    server.configure(**{name: value})
    wait_for(lambda: refuses(lambda: add(store, b"x" * size, f"key-{next(keys)}")), 10)

    before = stored(store)
    for refused in (
        lambda: add(store, b"x" * size, "refused"),
        lambda: store.remove(["019ca945-0a01-7b76-84b5-b2a9a8215155"], Reason.REQUEST),
        store.check,
    ):
        with pytest.raises(StorageUnavailable, match=f"{name} (is )?{value}"):
            refused()
    assert stored(store) == before

    server.configure(**{name: "on"})
    wait_for(lambda: not refuses(lambda: add(store, b"x" * size, "refused")), 10)
    assert len(stored(store)) == len(before) + 1


@pytest.mark.parametrize("value", ["remote_write", "remote_apply", "on"])
def test_what_waits_for_a_standby_is_enough(
    server: PostgreSQLServer, store: PostgreSQLStore, value: str
) -> None:
    """The other values of synchronous_commit make a commit durable on return."""
    server.configure(synchronous_commit=value)
    add(store, b"x")
    store.check()


def test_the_setting_of_a_role_counts(server: PostgreSQLServer, new_store: NewStore) -> None:
    """A role's own setting, which only new connections have, is noticed too."""
    server.execute("ALTER ROLE gomail SET synchronous_commit = off")
    with pytest.raises(StorageUnavailable, match="synchronous_commit is off"):
        add(new_store(), b"x")
    server.execute("ALTER ROLE gomail RESET synchronous_commit")
    add(new_store(), b"x")


@pytest.mark.parametrize("size", SIZES)
def test_a_standby_that_does_not_answer_is_waited_for(
    server: PostgreSQLServer, new_store: NewStore, size: int
) -> None:
    """Nothing is acknowledged; when it answers again, the repeat is a duplicate."""
    server.wait_for_standby("nobody")
    store = new_store()
    for refused in (lambda: add(store, b"1" * size), store.check):
        with pytest.raises(StorageUnavailable) as raised:
            refused()
        assert "has not answered for 2 seconds" in str(raised.value.__cause__)
    assert stored(store) == {}

    server.wait_for_standby("")
    wait_for(lambda: len(stored(store)) == 1, 10)
    [first] = stored(store)
    assert add(store, b"2" * size) == first
    assert stored(store) == {first: b"1" * size}


@pytest.mark.parametrize("size", SIZES)
def test_a_cancelled_wait_is_no_acknowledgement(
    server: PostgreSQLServer, new_store: NewStore, database_url: str, size: int
) -> None:
    """PostgreSQL then reports success with a warning; the repeat has to wait as well."""
    server.wait_for_standby("nobody")
    store = new_store()
    with ThreadPoolExecutor(1) as pool:
        adding = pool.submit(add, store, b"1" * size)
        wait_for(lambda: cancel_waiting(server), 10)
        with pytest.raises(StorageUnavailable, match="without waiting for its standby"):
            adding.result()
    with pytest.raises(StorageUnavailable):
        add(store, b"2" * size)
    server.wait_for_standby("")
    wait_for(lambda: len(stored(store)) == 1, 10)


def cancel_waiting(server: PostgreSQLServer) -> bool:
    """Cancel what waits for a standby; return whether there was something."""
    return bool(
        server.execute(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        )
    )
