"""A logout counts for all processes, and with a database for all hosts."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from support.postgresql_server import PostgreSQLServer

from app.errors import StorageUnavailable
from app.settings import Storage
from app.state.ended_sessions import (
    MOST_KEPT,
    EndedSessions,
    EndedSessionsFile,
    ended_sessions_file,
)
from app.storage.postgresql.ended_sessions import EndedSessionsTable
from app.storage.postgresql.preparation import prepare

Open = Callable[[], EndedSessions]

NOW = 1_000.0
LATER = 2_000


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQLServer]:
    """Return a PostgreSQL server for all tests of this file."""
    with PostgreSQLServer() as started:
        yield started


@pytest.fixture
def storage(server: PostgreSQLServer, tmp_path: Path) -> Storage:
    """Return the settings of a database with its tables."""
    settings = Storage(tmp_path, server.new_database())
    prepare(settings)
    return settings


@pytest.fixture(params=["file", "postgresql"])
def new_ended(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Return a function that opens the ended sessions, as another process or host would."""
    opened: list[EndedSessions] = []
    storage: Storage | None = None
    if request.param == "postgresql":
        storage = request.getfixturevalue("storage")

    def open_ended() -> EndedSessions:
        file = ended_sessions_file(tmp_path)
        opened.append(EndedSessionsTable(storage) if storage else EndedSessionsFile(file))
        return opened[-1]

    yield open_ended
    for each in opened:
        each.close()


def test_an_ended_session_is_known_to_all(new_ended: Open) -> None:
    """To an object that has looked before, as another worker has, and to one after a restart."""
    here, elsewhere = new_ended(), new_ended()
    assert "a" not in elsewhere
    here.end("a", LATER, NOW)
    assert "a" in here
    assert "a" in elsewhere
    assert "b" not in elsewhere
    elsewhere.end("b", LATER, NOW)
    assert "a" in new_ended()
    assert "b" in here


def test_an_end_may_be_repeated(new_ended: Open) -> None:
    """Two tabs may log out at the same moment."""
    ended = new_ended()
    ended.end("a", LATER, NOW)
    ended.end("a", LATER, NOW)
    assert "a" in ended


def test_sessions_that_have_expired_are_forgotten(new_ended: Open) -> None:
    """With the next end, so that they don't become ever more."""
    ended = new_ended()
    ended.end("a", LATER, NOW)
    ended.end("b", LATER + 10, LATER)
    assert "a" not in ended
    assert "b" in ended


def test_ends_at_the_same_moment_are_all_kept(new_ended: Open) -> None:
    """Whichever process writes last, also while all of them forget the same old ones."""
    first = new_ended()
    for number in range(5):
        first.end(f"old{number}", LATER, NOW)

    def end(number: int) -> None:
        new_ended().end(f"s{number}", LATER + 10, LATER)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(end, range(40))) == [None] * 40
    ended = new_ended()
    assert all(f"s{number}" in ended for number in range(40))
    assert "old0" not in ended


def test_the_table_has_a_bound(server: PostgreSQLServer, storage: Storage) -> None:
    """Beyond it those go that expire first."""
    database = str(storage.database_url).rpartition("/")[2]
    numbers = f"generate_series(0, {MOST_KEPT - 1})"
    rows = f"SELECT 's' || n, {LATER} + n FROM {numbers} AS n"
    server.execute(f"INSERT INTO ended_session {rows}", database)
    with closing(EndedSessionsTable(storage)) as ended:
        ended.end("last", LATER + MOST_KEPT, NOW)
        assert "s0" not in ended
        assert "s1" in ended
        assert "last" in ended


def test_a_database_that_is_away_opens_nothing(server: PostgreSQLServer, tmp_path: Path) -> None:
    """An error, rather than a session that may have ended, or a logout that wouldn't last."""
    with closing(EndedSessionsTable(Storage(tmp_path, server.url("nowhere")))) as ended:
        with pytest.raises(StorageUnavailable):
            assert "a" in ended
        with pytest.raises(StorageUnavailable):
            ended.end("a", LATER, NOW)
