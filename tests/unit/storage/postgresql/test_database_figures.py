"""Counts stay cheap, however much was stored since somebody has read them."""

from datetime import UTC, datetime

import psycopg
from support.deliveries import add_for

from app.storage.message import Reason
from app.storage.postgresql.deliveries.queue import MANY_COUNT_ROWS
from app.storage.postgresql.figures import MOST_TALLIES, REMOVALS
from app.storage.postgresql.store import PostgreSQLStore

MANY = 100_000
NOTED = "SELECT (SELECT count(*) FROM tally), (SELECT count(*) FROM delivery_tally)"


def note_many(url: str, count: int) -> None:
    """Note additions and removals that sum up to nothing, as many messages would."""
    with psycopg.connect(url) as connection:
        numbers = (2 * count,)
        connection.execute(
            "INSERT INTO tally SELECT 'messages', 2 * (n %% 2) - 1 FROM generate_series(1, %s) n",
            numbers,
        )
        connection.execute(
            "INSERT INTO delivery_tally SELECT 'app', 'pending', 2 * (n %% 2) - 1"
            " FROM generate_series(1, %s) n",
            numbers,
        )


def test_retention_merges_what_nobody_reads(store: PostgreSQLStore, database_url: str) -> None:
    """Metrics may be off; the figures stay what they were."""
    add_for(store, "app")
    before = store.statistics(), store.deliveries.figures()
    note_many(database_url, max(MOST_TALLIES, MANY_COUNT_ROWS))
    store.note_retention(datetime(2026, 3, 1, tzinfo=UTC), 0)
    with psycopg.connect(database_url) as connection:
        [(noted, noted_deliveries)] = connection.execute(NOTED).fetchall()
    assert noted <= 10
    assert noted_deliveries <= 10
    after = store.statistics()
    assert (after.messages, after.bytes) == (before[0].messages, before[0].bytes)
    assert store.deliveries.figures() == before[1]


def test_what_waits_for_messages_reads_no_other_counts(
    store: PostgreSQLStore, database_url: str
) -> None:
    """It asks ten times a second, while others store."""
    message_id = add_for(store).message_id
    store.remove([message_id], Reason.REQUEST)
    note_many(database_url, MANY)
    with psycopg.connect(database_url) as connection:
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {REMOVALS}".encode()))
    assert "tally_removal" in plan
