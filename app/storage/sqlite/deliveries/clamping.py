"""Limits times of deliveries that lie too far ahead; each function is part of a transaction."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from app.storage.delivery_queue import LONGEST_DELAY, LONGEST_LEASE
from app.storage.ids import milliseconds_since_epoch

CLAMPED_AT_ONCE = 500

DUE_FAR_AHEAD = """
SELECT delivery.number
FROM json_each(:endpoints) AS asked CROSS JOIN (VALUES (0), (1)) AS kind
CROSS JOIN delivery INDEXED BY delivery_claimable
ON delivery.endpoint = asked.value AND delivery.is_replay = kind.column1
WHERE delivery.state = 'pending' AND delivery.claimable_at_ms > :latest_due LIMIT :most
"""
LEASED_FAR_AHEAD = """
SELECT delivery.number
FROM json_each(:endpoints) AS asked
CROSS JOIN delivery INDEXED BY delivery_leased ON delivery.endpoint = asked.value
WHERE delivery.lease IS NOT NULL AND delivery.claimable_at_ms > :latest_end LIMIT :most
"""
CLAMP = """
UPDATE delivery SET
    due_at_ms = min(due_at_ms, :now),
    claimable_at_ms = CASE WHEN lease IS NULL THEN :now ELSE :latest_end END
WHERE number IN (SELECT value FROM json_each(:numbers)) AND state = 'pending'
AND claimable_at_ms > CASE WHEN lease IS NULL THEN :latest_due ELSE :latest_end END
"""


def far_ahead(connection: Connection, endpoints: Collection[str], now: datetime) -> Sequence[int]:
    """Return the numbers of some deliveries whose times have to be limited."""
    given = {"endpoints": json.dumps(list(endpoints)), "most": CLAMPED_AT_ONCE, **_limits(now)}
    for statement in (DUE_FAR_AHEAD, LEASED_FAR_AHEAD):
        numbers = connection.exec_driver_sql(statement, given).scalars().all()
        if numbers:
            return numbers
    return []


def clamp(connection: Connection, numbers: Sequence[int], now: datetime) -> int:
    """Limit the times of these deliveries, and return how many still had to be."""
    given = {"numbers": json.dumps(list(numbers)), **_limits(now)}
    return connection.exec_driver_sql(CLAMP, given).rowcount


def _limits(now: datetime) -> Mapping[str, int]:
    return {
        "now": milliseconds_since_epoch(now),
        "latest_due": milliseconds_since_epoch(now + LONGEST_DELAY),
        "latest_end": milliseconds_since_epoch(now + LONGEST_LEASE),
    }
