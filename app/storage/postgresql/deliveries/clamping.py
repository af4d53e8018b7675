"""Limits times of deliveries that lie too far ahead; each function is part of a transaction."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from app.storage.delivery_queue import LONGEST_DELAY, LONGEST_LEASE
from app.storage.ids import milliseconds_since_epoch

CLAMPED_AT_ONCE = 500

FAR_AHEAD = """
SELECT due.number
FROM unnest(%(endpoints)s::text[]) AS asked (endpoint)
CROSS JOIN (VALUES (false), (true)) AS kind (is_replay)
CROSS JOIN LATERAL (
    SELECT number FROM delivery
    WHERE endpoint = asked.endpoint COLLATE "C" AND is_replay = kind.is_replay
    AND state = 'pending' AND claimable_at_ms > %(latest_due)s LIMIT %(most)s
) AS due
UNION
SELECT leased.number
FROM unnest(%(endpoints)s::text[]) AS asked (endpoint)
CROSS JOIN LATERAL (
    SELECT number FROM delivery
    WHERE endpoint = asked.endpoint COLLATE "C"
    AND lease IS NOT NULL AND claimable_at_ms > %(latest_end)s LIMIT %(most)s
) AS leased
LIMIT %(most)s
"""
CLAMP = """
UPDATE delivery SET
    due_at_ms = least(due_at_ms, %(now)s),
    claimable_at_ms = CASE WHEN lease IS NULL THEN %(now)s ELSE %(latest_end)s END
WHERE number = ANY(ARRAY(
    SELECT number FROM delivery
    WHERE number = ANY(%(numbers)s::bigint[]) AND state = 'pending'
    AND claimable_at_ms > CASE WHEN lease IS NULL THEN %(latest_due)s ELSE %(latest_end)s END
    ORDER BY number FOR UPDATE
))
"""


def far_ahead(connection: Connection, endpoints: Collection[str], now: datetime) -> Sequence[int]:
    """Return the numbers of some deliveries whose times have to be limited."""
    given = {"endpoints": list(endpoints), "most": CLAMPED_AT_ONCE, **_limits(now)}
    return connection.exec_driver_sql(FAR_AHEAD, given).scalars().all()


def clamp(connection: Connection, numbers: Sequence[int], now: datetime) -> int:
    """Limit the times of these deliveries, and return how many still had to be."""
    given = {"numbers": list(numbers), **_limits(now)}
    return connection.exec_driver_sql(CLAMP, given).rowcount


def _limits(now: datetime) -> Mapping[str, int]:
    return {
        "now": milliseconds_since_epoch(now),
        "latest_due": milliseconds_since_epoch(now + LONGEST_DELAY),
        "latest_end": milliseconds_since_epoch(now + LONGEST_LEASE),
    }
