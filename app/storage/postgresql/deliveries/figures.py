"""Counts deliveries; each function is part of a caller's transaction.

Triggers note each change of a count as a row, since transactions that changed the same row would
wait for each other. Whoever reads many of these rows merges them.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from app.storage.delivery import Figure, State
from app.storage.ids import moment_of

FIGURES = """
WITH counted AS MATERIALIZED (
    SELECT endpoint, state, sum(change)::bigint AS many, count(*) AS changes
    FROM delivery_tally GROUP BY endpoint, state
)
SELECT endpoint, state, many, changes, (
    SELECT created_at_ms FROM delivery
    WHERE endpoint = counted.endpoint AND state = counted.state
    ORDER BY created_at_ms LIMIT 1
) AS oldest_ms
FROM counted ORDER BY endpoint, state
"""
# Whoever comes second would wait, and then find nothing to merge.
_IS_FIRST = "SELECT pg_try_advisory_xact_lock(7004, 0)"
_MERGE = """
WITH merged AS (DELETE FROM delivery_tally RETURNING endpoint, state, change)
INSERT INTO delivery_tally (endpoint, state, change)
SELECT endpoint, state, sum(change) FROM merged GROUP BY endpoint, state HAVING sum(change) <> 0
"""


class Counts(NamedTuple):
    """The figures, and the number of rows that they were added up from."""

    figures: Sequence[Figure]
    rows: int


def counts(connection: Connection) -> Counts:
    """See DeliveryQueue.figures."""
    rows = connection.exec_driver_sql(FIGURES).all()
    figures = [
        Figure(row.endpoint, State(row.state), row.many, moment_of(row.oldest_ms))
        for row in rows
        if row.many
    ]
    return Counts(figures, sum(row.changes for row in rows))


def merge_counts(connection: Connection) -> None:
    """Replace the noted changes by their sums."""
    if connection.exec_driver_sql(_IS_FIRST).scalar_one():
        connection.exec_driver_sql(_MERGE)
