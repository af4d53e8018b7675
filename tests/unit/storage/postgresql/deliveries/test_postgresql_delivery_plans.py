"""How PostgreSQL goes about deliveries: quickly, however many there are."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection
from support.many_deliveries import add_many
from support.postgresql_databases import Databases
from support.postgresql_host import Host
from support.rounds import rounds

from app.storage.delivery import State
from app.storage.postgresql.deliveries import (
    attempts,
    claims,
    clamping,
    decisions,
    figures,
    finding,
    replaying,
    results,
    rows,
)

MANY = rounds(200_000, 40_000)
LAST_MS = MANY * 1000
# Of thousands that the table has; a page that is read twice counts twice.
MOST_PAGES = 500


class Plan(NamedTuple):
    """What a statement read: tables from beginning to end, and the number of pages."""

    whole_tables: set[str]
    pages: int


def plan(connection: Connection, statement: str, given: object = None) -> Plan:
    """Run a statement, undo what it did, and return its plan."""
    explained = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
    with connection.begin() as transaction:
        [found] = connection.exec_driver_sql(explained, given).scalar_one()  # type: ignore[arg-type]
        transaction.rollback()
    root = found["Plan"]
    pages = root["Shared Hit Blocks"] + root["Shared Read Blocks"]
    return Plan(set(_whole_tables(root)) - {"delivery_tally", "store", "replay"}, pages)


def _whole_tables(node: Mapping[str, Any]) -> Iterator[str]:
    if node["Node Type"] == "Seq Scan":
        yield node["Relation Name"]
    for each in node.get("Plans", ()):
        yield from _whole_tables(each)


@pytest.fixture(scope="module", params=[State.DELIVERED, State.PENDING])
def connection(request: pytest.FixtureRequest, databases: Databases) -> Iterator[Connection]:
    """Connect to a store in which nearly all deliveries are delivered, or nearly all wait."""
    url = databases.new()
    few = State.PENDING if request.param is State.DELIVERED else State.DELIVERED
    add_many(url, MANY, state=request.param)
    add_many(url, 1000, state=few, first_ms=LAST_MS)
    with closing(Host(url)) as store:
        vacuum = store.engine.execution_options(isolation_level="AUTOCOMMIT")
        with vacuum.connect() as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
        with store.engine.connect() as connection:
            yield connection
    databases.drop(url)


def some_numbers(connection: Connection) -> list[int]:
    """Return the numbers of some deliveries, as many as anybody decides about at once."""
    with connection.begin():
        found = "SELECT number FROM delivery ORDER BY number DESC LIMIT 64"
        return list(connection.exec_driver_sql(found).scalars())


CLAIMED = {
    "endpoint": "app",
    "replays": False,
    "now": LAST_MS * 2,
    "until": LAST_MS * 3,
    "lease": b"0" * 16,
    "limit": 64,
}


@pytest.mark.parametrize(
    "statement",
    [
        claims.HAS_SUSPECTS,
        claims.BURY,
        claims.WITH_LAST_CHANCE,
        claims.LONGEST_DUE,
        claims.FIRST_MADE,
        claims.FIRST_DUE_AT,
        claims.FIRST_MADE_AT,
    ],
)
def test_a_claim_leads_to_what_is_due(connection: Connection, statement: str) -> None:
    """Whether nothing else or everything is due."""
    found = plan(connection, statement, CLAIMED)
    assert found.whole_tables == set()
    assert found.pages < 64 * 40  # an update enters the row into each of the indexes


def test_when_something_is_due_is_looked_up(connection: Connection) -> None:
    """So is what is due too far ahead."""
    found = plan(connection, claims.NEXT_DUE, {"endpoints": ["app", "log", "other"]})
    assert found.whole_tables == set()
    assert found.pages < 50
    given = {"latest_due": LAST_MS * 3, "latest_end": LAST_MS * 3, "most": 500}
    found = plan(connection, clamping.FAR_AHEAD, {"endpoints": ["app", "log"], **given})
    assert found.whole_tables == set()
    assert found.pages < 50


def test_changes_are_looked_up_by_number(connection: Connection) -> None:
    """Whatever becomes of a delivery."""
    numbers = some_numbers(connection)
    given = {"numbers": numbers, "now": 1, "until": 2, "latest_due": 0, "latest_end": 0}
    for statement in (
        *(rows.LOCK, results.RENEW, results.FORGIVE, clamping.CLAMP),
        *(decisions.RETRY, decisions.DISCARD),
    ):
        found = plan(connection, statement, given)
        assert found.whole_tables == set()
        assert found.pages < 64 * 40
    columns = {"states": "dead", "due": None, "spends": True, "tried": True, "reasons": "x"}
    finished = {name: [value] * len(numbers) for name, value in columns.items()}
    found = plan(connection, results.FINISH, {**given, **finished})
    assert found.whole_tables == set()
    assert found.pages < 64 * 40


def test_what_a_replay_needs_is_looked_up(connection: Connection) -> None:
    """Its messages, and whether they have deliveries to its endpoint."""
    with connection.begin():
        first = "SELECT number FROM message ORDER BY number LIMIT 64"
        messages = list(connection.exec_driver_sql(first).scalars())
    found = plan(connection, replaying.LOCK_MESSAGES, (messages,))
    assert found.whole_tables == set()
    assert found.pages < MOST_PAGES
    made = {"messages": messages, "endpoint": "new", "now": 1}
    found = plan(connection, replaying.MAKE, made)
    assert found.whole_tables == set()
    assert found.pages < 64 * 40
    following = replaying.FOLLOWING.format(conditions="")
    given = {"position": messages[5], "last": messages[-1] + MANY, "most": 64}
    found = plan(connection, following, given)
    assert found.whole_tables == set()
    assert found.pages < MOST_PAGES


def test_attempts_are_looked_up(connection: Connection) -> None:
    """Those of a delivery, and the oldest."""
    for statement, given in (
        (attempts.OF_DELIVERY, {"delivery": 1, "tries": 2}),
        (attempts.FORGET, {"before": 1, "most": 500}),
    ):
        assert plan(connection, statement, given).pages < 50


def test_figures_are_added_up_from_few_rows(connection: Connection) -> None:
    """The number of deliveries doesn't matter; the oldest ones come from an index."""
    found = plan(connection, figures.FIGURES)
    assert found.whole_tables == set()
    assert found.pages < 50


@pytest.mark.parametrize("order", ["ASC", "DESC"])
@pytest.mark.parametrize("endpoint", [None, "app"])
@pytest.mark.parametrize("state", [None, *State])
def test_pages_are_read_in_order(
    connection: Connection, endpoint: str | None, state: State | None, order: str
) -> None:
    """From their position on, without what was before it."""
    numbers = some_numbers(connection)
    given = {
        "endpoint": endpoint,
        "state": state,
        "after": numbers[-1] - MANY // 2,
        "before": numbers[0],
        "rows": 51,
        "since": LAST_MS // 2,
        "until": LAST_MS // 2 + 100_000,
        "messages": numbers,
    }
    for statement in (finding.ALL, finding.BY_STATE, finding.BY_MESSAGE, finding.BY_TIME):
        text = rows.OF_MESSAGES.format(deliveries=f"({statement.format(order=order)})")
        found = plan(connection, text, given)
        assert found.whole_tables == set()
        assert found.pages < MOST_PAGES
    found = plan(connection, finding.COUNT_BY_TIME, {**given, "rows": 20_000})
    assert found.whole_tables == set()
    assert found.pages < MOST_PAGES


def test_a_plan_that_reads_everything_is_seen(connection: Connection) -> None:
    """The tests above would fail for a look-up by other columns."""
    found = plan(connection, "SELECT * FROM delivery WHERE reason = 'x'")
    assert found.whole_tables == {"delivery"}
    assert found.pages > MOST_PAGES
