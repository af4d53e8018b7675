"""A start prepares the database, beside others and after a restore."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from support.postgresql_databases import Databases
from support.postgresql_server import BINARIES, PostgreSQLServer
from support.server import CHECKOUT
from support.store import add, stored
from support.together import outputs_of_all

from app.errors import StorageUnavailable
from app.settings import Storage
from app.storage.interface import Query
from app.storage.postgresql import preparation
from app.storage.postgresql.preparation import LEAP, SCHEMA, has_store, prepare
from app.storage.postgresql.store import PostgreSQLStore

PREPARE = """
import sys
from pathlib import Path
from app.settings import Storage
from app.storage.postgresql.preparation import prepare
from app.storage.postgresql.store import PostgreSQLStore
settings = Storage(Path(sys.argv[2]), sys.argv[1])
# at once
prepare(settings)
print(PostgreSQLStore(settings).identity().hex())
"""
ANOTHER_TIMELINE = "UPDATE store SET place = left(place, -8) || '000000FF'"


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode())


def base(url: str) -> int:
    with psycopg.connect(url) as connection:
        [(found,)] = connection.execute("SELECT base FROM store").fetchall()
    return int(found)


def newest(store: PostgreSQLStore) -> int:
    return next(store.search(Query(limit=1))).number


def test_six_hosts_prepare_an_empty_database_at_once(databases: Databases, tmp_path: Path) -> None:
    """All of them succeed, and have the same store."""
    url = databases.server.new_database()
    assert not has_store(Storage(tmp_path, url))
    identities = outputs_of_all(PREPARE, [[url, str(tmp_path)]] * 6)
    assert len(set(identities)) == 1
    assert has_store(Storage(tmp_path, url))


def test_a_newer_database_is_served_if_it_allows_it(
    settings: Storage, store: PostgreSQLStore, database_url: str
) -> None:
    """Code that doesn't know a revision asks for the oldest compatible version instead."""
    add(store, b"x")
    execute(database_url, "UPDATE alembic_version SET version_num = '9999'")
    prepare(settings)
    assert list(stored(store).values()) == [b"x"]

    execute(database_url, f"UPDATE store SET oldest_compatible = {SCHEMA + 1}")
    with pytest.raises(StorageUnavailable, match="newer version of GoMail"):
        prepare(settings)


def test_another_encoding_is_refused(databases: Databases, tmp_path: Path) -> None:
    """PostgreSQL would refuse the first message with a character that it doesn't have."""
    databases.server.execute("CREATE DATABASE latin1 TEMPLATE template0 ENCODING LATIN1 LOCALE 'C'")
    with pytest.raises(StorageUnavailable, match="LATIN1, not UTF8"):
        prepare(Storage(tmp_path, databases.server.url("latin1")))


def test_a_directory_that_cannot_be_written_to_is_named(
    settings: Storage, database_url: str, tmp_path: Path
) -> None:
    """Large messages need it while they arrive."""
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailable, match="data_dir"):
        prepare(Storage(tmp_path / "file" / "data", database_url))


def test_numbers_go_on_when_nothing_has_happened(
    settings: Storage, store: PostgreSQLStore, database_url: str
) -> None:
    """A start leaves the base as it is."""
    add(store, b"x")
    prepare(settings)
    prepare(settings)
    assert base(database_url) == 0


@pytest.fixture
def other_server() -> Iterator[PostgreSQLServer]:
    """Return a server whose transactions begin anew."""
    with PostgreSQLServer(autovacuum="off") as server:
        yield server


def dump(url: str) -> bytes:
    return subprocess.run([BINARIES / "pg_dump", url], capture_output=True, check=True).stdout


def restore(url: str, dumped: bytes) -> None:
    psql = ["psql", "-q", "-v", "ON_ERROR_STOP=1", url]
    subprocess.run(psql, input=dumped, stdout=subprocess.DEVNULL, check=True)


def test_numbers_leap_after_a_dump_into_another_server(
    databases: Databases,
    other_server: PostgreSQLServer,
    store: PostgreSQLStore,
    database_url: str,
    tmp_path: Path,
) -> None:
    """A reader with its last number from before sees all that is stored from then on."""
    execute(database_url, f"UPDATE store SET base = {LEAP}")  # as if it was used for long
    add(store, b"1", "before", endpoints=("app",))
    last, identity = newest(store), store.identity()
    url = other_server.new_database()
    restore(url, dump(database_url))
    execute(url, "UPDATE store SET base = 0")  # its numbers would be lower by far
    settings = Storage(tmp_path, url)
    prepare(settings)
    restored = PostgreSQLStore(settings)
    add(restored, b"2", "after")
    assert restored.identity() == identity
    assert list(stored(restored).values()) == [b"2", b"1"]
    [new] = restored.search(Query(after=last))
    assert new.number > last + LEAP
    restored.close()


def test_numbers_leap_after_a_dump_into_a_server_that_was_used_for_longer(
    databases: Databases,
    other_server: PostgreSQLServer,
    store: PostgreSQLStore,
    database_url: str,
    tmp_path: Path,
) -> None:
    """Its numbers are higher than those in the dump, but lower than those given out after it."""
    add(store, b"1", "dumped")
    dumped = dump(database_url)
    execute(database_url, f"UPDATE store SET base = {LEAP // 2}")  # as if much was stored since
    add(store, b"2", "lost")
    last = newest(store)
    url = other_server.new_database()
    restore(url, dumped)
    execute(url, "UPDATE store SET base = (SELECT max(number) FROM message)")
    settings = Storage(tmp_path, url)
    prepare(settings)
    restored = PostgreSQLStore(settings)
    new = add(restored, b"3", "new")
    assert [message.message_id for message in restored.search(Query(after=last))] == [new]
    restored.close()


def test_numbers_leap_after_a_change_of_the_timeline(
    settings: Storage, store: PostgreSQLStore, database_url: str
) -> None:
    """A standby that has taken over may lack numbers that were given out."""
    add(store, b"1", "before")
    last = newest(store)
    execute(database_url, ANOTHER_TIMELINE)
    prepare(settings)
    prepare(settings)
    add(store, b"2", "after")
    assert last + LEAP < newest(store) < last + 2 * LEAP


def test_a_writer_waits_for_a_leap(
    settings: Storage, store: PostgreSQLStore, database_url: str
) -> None:
    """Beside a start that raises the base, no number is given out below those seen already."""
    execute(database_url, ANOTHER_TIMELINE)
    code = "import sys; sys.path.insert(0, sys.argv.pop()); " + PREPARE.replace("# at once", "")
    with subprocess.Popen(
        [sys.executable, "-c", code, database_url, str(settings.data_dir), str(CHECKOUT)],
        stdout=subprocess.DEVNULL,
    ) as preparing:
        numbers = list[int]()
        while preparing.poll() is None or base(database_url) == 0:
            add(store, b"x", f"key-{len(numbers)}")
            numbers.append(newest(store))
    assert preparing.returncode == 0
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == len(numbers)


def test_the_wait_for_another_start_is_bounded(
    settings: Storage, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that hangs ends that of others in time, with a reason."""
    monkeypatch.setattr(preparation, "SECONDS", 1)
    with psycopg.connect(database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (preparation._LOCK,))
        with pytest.raises(StorageUnavailable) as raised:
            prepare(settings)
    assert "has not answered for 1 seconds" in str(raised.value.__cause__)
