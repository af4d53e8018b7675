"""SQLite's plans for queries: they start at the right row of an index, and don't sort."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from app.storage.interface import Query
from app.storage.sqlite.database import connect, create_database, migrate
from app.storage.sqlite.queries import ids_with_prefix, scan_extent, selection

AT = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BY_NUMBER = "USING INTEGER PRIMARY KEY (rowid"
BY_RECIPIENT = "INDEX message_recipient (recipient_key=? AND number"
IN_TIME, DISPLACED = "INDEX message_in_time (number", "INDEX message_displaced"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = tmp_path_factory.mktemp("plans") / "gomail.db"
    create_database(path)
    engine = connect(path)
    migrate(engine)
    yield engine
    engine.dispose()


def plan(engine: Engine, query: Query, *, finds_end: bool = False) -> list[str]:
    """Return the steps of the plan for the first page, or for finding the end of a scan."""
    statement = scan_extent(query, 50_000) if finds_end else selection(query).limit(50)
    text = str(statement.compile(engine, compile_kwargs={"literal_binds": True}))
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()
    return [str(row.detail) for row in rows]


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize(
    ("query", "steps"),
    [
        (Query(after=1), [BY_NUMBER]),
        (Query(before=9), [BY_NUMBER]),
        (Query(before=9, subject="x"), [BY_NUMBER]),
        (Query(recipient="a@b", after=1), [BY_RECIPIENT]),
        (Query(since=AT), [IN_TIME, DISPLACED]),
        (Query(until=AT), [IN_TIME, DISPLACED]),
        (Query(since=AT, until=AT + DAY, after=1, sender="a@b"), [IN_TIME, DISPLACED]),
        (Query(since=AT, recipient="a@b"), [BY_RECIPIENT]),
    ],
    ids=str,
)
@pytest.mark.parametrize("finds_end", [False, True])
def test_queries_use_an_index_and_never_sort(
    engine: Engine, query: Query, steps: list[str], oldest_first: bool, finds_end: bool
) -> None:
    """Each step seeks in an index, and none sorts."""
    asked = Query(**{**vars(query), "oldest_first": oldest_first})
    found = plan(engine, asked, finds_end=finds_end)
    assert not [step for step in found if "TEMP B-TREE" in step]
    for step in steps:
        assert [each for each in found if step in each], found


def test_a_prefix_of_an_id_is_looked_up_in_the_index(engine: Engine) -> None:
    """Only in the index of ids, however many messages there are."""
    text = str(ids_with_prefix("019c").compile(engine, compile_kwargs={"literal_binds": True}))
    with engine.connect() as connection:
        [step] = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()
    assert "SEARCH message USING COVERING INDEX" in step.detail
    assert "(id>? AND id<?)" in step.detail


def test_a_plan_that_sorts_is_recognized(engine: Engine) -> None:
    """The tests above would fail for a query by other columns."""
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT * FROM message WHERE received_at_ms > 0 ORDER BY subject"
        ).all()
    found = [row.detail for row in rows]
    assert any("TEMP B-TREE" in step for step in found)
    assert not any(BY_NUMBER in step for step in found)
