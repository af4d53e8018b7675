"""How SQLite goes about deliveries: quickly, however many were settled."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine
from support.deliveries import at

from app.storage.delivery import DeliveryQuery, State
from app.storage.sqlite.database import connect, create_database, migrate
from app.storage.sqlite.deliveries import (
    attempts,
    claims,
    clamping,
    decisions,
    finding,
    replaying,
    rows,
    settlements,
)
from app.storage.sqlite.queries import count_undone, oldest_done

GIVEN = {
    "endpoint": "app",
    "replays": 0,
    "now": 1,
    "until": 2,
    "lease": b"",
    "limit": 64,
    "numbers": "[]",
}
CLAMPED = {
    "endpoints": "[]",
    "numbers": "[]",
    "now": 1,
    "latest_due": 2,
    "latest_end": 2,
    "most": 3,
}
BY_NUMBER = "SEARCH delivery USING INTEGER PRIMARY KEY (rowid=?)"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = tmp_path_factory.mktemp("plans") / "gomail.db"
    create_database(path)
    engine = connect(path)
    migrate(engine)
    yield engine
    engine.dispose()


def plan(connection: Connection, statement: str, given: object) -> list[str]:
    """Return the steps; none may read a whole table, or sort what it has read."""
    rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given).all()  # type: ignore[arg-type]
    steps = [str(row.detail) for row in rows]
    whole = [step for step in steps if step.startswith(("SCAN delivery", "SCAN message"))]
    assert [step for step in whole if "delivery_count" not in step] == []
    assert not any("TEMP B-TREE" in step for step in steps)
    return steps


@pytest.mark.parametrize(
    ("statement", "steps"),
    [
        (claims.BURY, ["INDEX delivery_suspect (endpoint=?)"]),
        (
            claims.LONGEST_DUE,
            [
                BY_NUMBER,
                "INDEX delivery_claimable (endpoint=? AND is_replay=? AND claimable_at_ms<?)",
            ],
        ),
        (
            claims.FIRST_MADE,
            [
                BY_NUMBER,
                "INDEX delivery_state (endpoint=? AND state=? AND is_replay=?)",
                "INDEX delivery_leased (endpoint=? AND claimable_at_ms>?)",
            ],
        ),
        (claims.WITH_LAST_CHANCE, [BY_NUMBER, "INDEX delivery_suspect (endpoint=?)"]),
        (decisions.RETRY, [BY_NUMBER]),
        (decisions.DISCARD, [BY_NUMBER]),
    ],
)
def test_a_claim_leads_to_what_is_due(engine: Engine, statement: str, steps: list[str]) -> None:
    """By the index of what is pending, in the order in which it is due or was made."""
    with engine.connect() as connection:
        found = plan_with_suspects(connection, statement)
    for step in steps:
        assert [each for each in found if step in each], found


def plan_with_suspects(connection: Connection, statement: str) -> list[str]:
    """Return the steps; the index of what may be poison may be read as a whole."""
    rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", GIVEN).all()
    steps = [str(row.detail) for row in rows]
    scans = [step for step in steps if step.startswith("SCAN") and "json_each" not in step]
    assert all("INDEX delivery_suspect" in step for step in scans)
    assert not any("TEMP B-TREE" in step for step in steps)
    return steps


@pytest.mark.parametrize(
    ("statement", "given", "step"),
    [
        (claims.HELD, ("[]",), BY_NUMBER),
        (claims.RENEW, (1, "[]"), BY_NUMBER),
        (claims.FORGIVE, ("[]",), BY_NUMBER),
        (claims.FIRST_DUE_AT, ("app", 0), "INDEX delivery_claimable (endpoint=? AND is_replay=?)"),
        (
            claims.FIRST_MADE_AT,
            ("app", 0),
            "INDEX delivery_state (endpoint=? AND state=? AND is_replay=?)",
        ),
        (claims.FINISH, ("[]",), BY_NUMBER),
        (claims.NEXT_DUE, ("[]",), "INDEX delivery_claimable (endpoint=? AND is_replay=?)"),
        (
            clamping.DUE_FAR_AHEAD,
            CLAMPED,
            "INDEX delivery_claimable (endpoint=? AND is_replay=? AND claimable_at_ms>?)",
        ),
        (
            clamping.LEASED_FAR_AHEAD,
            CLAMPED,
            "INDEX delivery_leased (endpoint=? AND claimable_at_ms>?)",
        ),
        (clamping.CLAMP, CLAMPED, BY_NUMBER),
        (attempts.FOLLOWING, (1, 2), "SEARCH attempt USING INTEGER PRIMARY KEY (rowid>?)"),
        (attempts.FORGET, ("[]",), "SEARCH attempt USING INTEGER PRIMARY KEY (rowid=?)"),
        (finding.FIGURES, (), "INDEX delivery_state (endpoint=? AND state=? AND is_replay=?)"),
        (replaying.WAITING, ("[]", "app"), "INDEX delivery_message (message_number=?)"),
        (rows.CHOSEN, ("[]",), BY_NUMBER),
        (settlements.SETTLED, ("[]",), "INDEX delivery_message (message_number=?)"),
        (settlements.IS_STORED, ("[]",), "(id=?)"),
    ],
)
def test_rows_are_reached_by_an_index(
    engine: Engine, statement: str, given: object, step: str
) -> None:
    """None of them reads what it isn't about."""
    with engine.connect() as connection:
        found = plan(connection, statement, given)
    assert [each for each in found if step in each], found


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize(
    "query",
    [
        DeliveryQuery(),
        DeliveryQuery(after=1, before=9),
        DeliveryQuery(endpoint="app", state=State.DEAD, after=1),
        DeliveryQuery(state=State.PENDING),
        DeliveryQuery(since=at(0), until=at(1)),
        DeliveryQuery(endpoint="app", since=at(0)),
    ],
    ids=str,
)
def test_pages_are_read_in_order(engine: Engine, query: DeliveryQuery, oldest_first: bool) -> None:
    """Each source begins where the page does and needn't be sorted."""
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "INSERT OR IGNORE INTO delivery_count VALUES ('app', 'dead', 1), ('app', 'pending', 1)"
        )
        for source in finding.sources(connection, query):
            sql = source.sql(oldest_first=oldest_first)
            rows = connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {sql}", (*source.values, 50)
            ).all()
            steps = [str(row.detail) for row in rows]
            assert not any("TEMP B-TREE" in step for step in steps), steps
            assert "SEARCH message USING INTEGER PRIMARY KEY (rowid=?)" in steps
            if source.index:
                assert any(f"INDEX {source.index}" in step for step in steps), steps
        connection.rollback()


def test_retention_reads_messages_in_order(engine: Engine) -> None:
    """It looks up the deliveries of each message; what waits is counted by state."""
    with engine.connect() as connection:
        for statement, step in (
            (oldest_done(25, "019c"), "INDEX delivery_message (message_number=?)"),
            (count_undone(at(0)), "INDEX delivery_state (endpoint=? AND state=?)"),
        ):
            text = str(statement.compile(engine, compile_kwargs={"literal_binds": True}))
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()
            steps = [str(row.detail) for row in rows]
            assert any(step in each for each in steps), steps
            assert not any("ORDER BY" in each for each in steps)
            assert not any(each == "SCAN message" for each in steps)


def test_a_plan_that_reads_everything_is_seen(engine: Engine) -> None:
    """The tests above would fail for a look-up by other columns."""
    with engine.connect() as connection, pytest.raises(AssertionError):
        plan(connection, "SELECT * FROM delivery WHERE reason = 'x' ORDER BY reason", ())
