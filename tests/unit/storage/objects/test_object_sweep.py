"""The sweep finds objects that no row names, and nothing else."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

import pytest
from sqlalchemy import Connection, NullPool, create_engine
from support.object_rows import add_erasure, add_message
from support.postgresql_databases import Databases

from app.cli.objects import run_sweep
from app.storage.objects import store
from app.storage.objects.store import Objects
from app.storage.objects.sweep import Findings, sweep
from app.storage.postgresql.objects import named_among

DAY = timedelta(hours=24)
MARGIN = timedelta(minutes=1)


@pytest.fixture(scope="module")
def engine_url(databases: Databases) -> str:
    """Return the URL of a database with the tables of a store."""
    return databases.new().replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def connection(engine_url: str) -> Iterator[Connection]:
    """Return a connection to an empty store."""
    engine = create_engine(engine_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("TRUNCATE message, erasure")
        yield connection


def put(objects: Objects, count: int) -> list[str]:
    """Put objects, and return their names in the order in which they are listed."""
    moment = datetime(2026, 3, 9, tzinfo=UTC)
    names = sorted(objects.names.new(str(uuid4()), moment) for _ in range(count))
    for name in names:
        objects.put(name, [b"mail"])
    return names


def stored(objects: Objects) -> list[str]:
    return [each.name for some in objects.stored() for each in some]


@pytest.fixture
def tomorrow(objects: Objects) -> Callable[[], datetime]:
    """Return a clock by which all objects are old enough."""
    return lambda: objects.now() + DAY + MARGIN


def test_only_what_no_row_names_is_deleted(
    objects: Objects, connection: Connection, tomorrow: Callable[[], datetime]
) -> None:
    """A message keeps its object, and so does an erasure, which deletes it itself."""
    names = put(objects, 7)
    for name in names[:3]:
        add_message(connection, name)
    add_message(connection, None)
    add_erasure(connection, names[3])
    with sweep(objects, partial(named_among, connection)) as started:
        found = started.search(tomorrow())
        assert found == Findings(7, 3, 12, names[4:])
        assert found.is_plausible
        assert stored(objects) == names
        assert started.delete() == 3
    assert stored(objects) == names[:4]


def test_a_young_object_stays(objects: Objects, connection: Connection) -> None:
    """Its row may be on its way: only after a day by the store's clock it is an orphan."""
    put(objects, 2)
    with sweep(objects, partial(named_among, connection)) as started:
        assert started.search(objects.now() + DAY - MARGIN) == Findings(2)
        assert started.search(objects.now() + DAY + MARGIN).orphans == 2


def test_rows_that_come_during_the_search_keep_their_objects(
    objects: Objects, connection: Connection, tomorrow: Callable[[], datetime]
) -> None:
    """Also for an object that is old: the look-up follows the listing."""
    names = put(objects, 2)

    def named(asked: Sequence[str]) -> set[str]:
        add_message(connection, names[1])  # between the list and the look-up
        return named_among(connection, asked)

    with sweep(objects, named) as started:
        assert started.search(tomorrow()).examples == names[:1]


def test_rows_that_come_before_the_deletion_keep_their_objects(
    objects: Objects, connection: Connection, tomorrow: Callable[[], datetime]
) -> None:
    """A long search may end hours after it has looked at the first names."""
    names = put(objects, 3)
    with sweep(objects, partial(named_among, connection)) as started:
        assert started.search(tomorrow()).orphans == 3
        add_message(connection, names[1])
        assert started.delete() == 2
    assert stored(objects) == names[1:2]


def test_objects_are_looked_up_some_at_a_time(
    objects: Objects,
    connection: Connection,
    tomorrow: Callable[[], datetime],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many there are, few are in memory."""
    monkeypatch.setattr(store, "LIST_LENGTH", 2)
    names, asked = put(objects, 5), list[int]()
    add_message(connection, names[2])

    def named(some: Sequence[str]) -> set[str]:
        asked.append(len(some))
        return named_among(connection, some)

    with sweep(objects, named) as started:
        assert started.search(tomorrow()).examples == [*names[:2], *names[3:]]
    assert asked == [2, 2, 1]


def test_at_most_ten_names_are_told(
    objects: Objects,
    connection: Connection,
    tomorrow: Callable[[], datetime],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With how many there are; without --delete nothing happens."""
    names = put(objects, 11)
    add_message(connection, names[10])
    run_sweep(objects, connection, tomorrow(), delete=False)
    assert capsys.readouterr().out.splitlines() == [
        "10 of 11 objects (40 bytes) without a message, older than 24 hours",
        *[f"  {name}" for name in names[:10]],
        "Nothing is deleted without --delete",
    ]
    assert stored(objects) == names


def test_what_is_found_is_deleted(
    objects: Objects,
    connection: Connection,
    tomorrow: Callable[[], datetime],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And said."""
    names = put(objects, 2)
    add_message(connection, names[0])
    run_sweep(objects, connection, tomorrow(), delete=True)
    assert capsys.readouterr().out.endswith("Deleted 1 object\n")
    assert stored(objects) == names[:1]


@pytest.mark.parametrize("delete", [False, True])
@pytest.mark.parametrize(("count", "named"), [(12, 1), (2, 0)], ids=["too many", "all"])
def test_too_many_are_left(
    objects: Objects,
    connection: Connection,
    tomorrow: Callable[[], datetime],
    *,
    count: int,
    named: int,
    delete: bool,
) -> None:
    """A database that was restored from an old backup would take the mail of the time since."""
    names = put(objects, count)
    add_message(connection, None)
    for name in names[:named]:
        add_message(connection, name)
    with pytest.raises(SystemExit, match="more than 1 % of the objects"):
        run_sweep(objects, connection, tomorrow(), delete=delete)
    assert stored(objects) == names


def test_an_empty_table_is_the_wrong_one(
    objects: Objects, connection: Connection, tomorrow: Callable[[], datetime]
) -> None:
    """Nothing is even searched."""
    names = put(objects, 2)
    with pytest.raises(SystemExit, match="The database has no messages"):
        run_sweep(objects, connection, tomorrow(), delete=True)
    assert stored(objects) == names


@pytest.mark.parametrize(
    ("objects_", "orphans", "plausible"),
    [
        *[(0, 0, True), (1, 0, True), (1, 1, False), (10, 10, False), (11, 10, True)],
        *[(500, 11, False), (1100, 11, True), (1199, 12, False), (100_000, 1000, True)],
        (100_000, 1001, False),
    ],
)
def test_one_in_a_hundred_is_plausible(objects_: int, orphans: int, plausible: bool) -> None:
    """Or ten, but never all."""
    assert Findings(objects_, orphans).is_plausible == plausible
