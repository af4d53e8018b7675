"""Claims deliveries; each function is part of a caller's transaction.

No claim waits for a row: what another transaction has locked is passed over; see
app.storage.postgresql.deliveries.passing_over.
"""

import secrets
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from app.storage.delivery import POISON, Claim, State
from app.storage.delivery_queue import MOST_CLAIMS, MOST_LAPSES
from app.storage.ids import milliseconds_since_epoch, moment_of
from app.storage.postgresql.deliveries.locks import lock_claims, lock_last_chance
from app.storage.postgresql.deliveries.passing_over import limit_waits
from app.storage.postgresql.deliveries.rows import OF_MESSAGES, delivery_of
from app.storage.postgresql.numbers import VISIBLE_BELOW

LEASE_BYTES = 16
_LAST_CHANCE = MOST_LAPSES - 1

# The number of claims expired in a row, including the current one if it has expired.
_LAPSES = "lapses + (lease IS NOT NULL)::integer"
_IS_DUE = """
endpoint = %(endpoint)s AND is_replay = %(replays)s AND state = 'pending'
AND claimable_at_ms <= %(now)s"""
# Whether no delivery is claimed for its last attempt now.
_NONE_ELSE = f"""
NOT EXISTS (
    SELECT FROM delivery WHERE state = 'pending' AND lapses > 0 AND lapses >= {_LAST_CHANCE}
    AND lease IS NOT NULL AND claimable_at_ms > %(now)s
)"""
# Whether no delivery of the endpoint is claimed now, by any process, live or of a replay.
_NONE_CLAIMED = """
NOT EXISTS (
    SELECT FROM delivery
    WHERE endpoint = %(endpoint)s AND lease IS NOT NULL AND claimable_at_ms > %(now)s
)"""
HAS_SUSPECTS = """
SELECT EXISTS (
    SELECT FROM delivery WHERE state = 'pending' AND lapses > 0 AND endpoint = %(endpoint)s
    AND claimable_at_ms <= %(now)s
)
"""
BURY = f"""
UPDATE delivery
SET state = '{State.DEAD}', reason = '{POISON}', settled_at_ms = %(now)s, lease = NULL, lapses = 0
WHERE number = ANY(ARRAY(
    SELECT number FROM delivery
    WHERE state = 'pending' AND lapses > 0 AND endpoint = %(endpoint)s
    AND lapses >= {_LAST_CHANCE} AND lease IS NOT NULL AND claimable_at_ms <= %(now)s
    FOR UPDATE SKIP LOCKED
))
"""
# As an array, since the planner may run a subquery more than once, which would lock other rows.
_CLAIM = f"""
WITH claimed AS (
    UPDATE delivery
    SET lease = %(lease)s, claimable_at_ms = %(until)s, lapses = {_LAPSES}
    WHERE number = ANY(ARRAY({{numbers}} FOR UPDATE SKIP LOCKED))
    RETURNING *
)
{OF_MESSAGES.format(deliveries="claimed")} ORDER BY delivery.due_at_ms, delivery.number
"""
WITH_LAST_CHANCE = _CLAIM.format(
    numbers=f"""
    SELECT number FROM delivery
    WHERE {_IS_DUE} AND lapses > 0 AND {_LAPSES} = {_LAST_CHANCE} AND {_NONE_ELSE}
    ORDER BY number LIMIT 1
    """
)
LONGEST_DUE = _CLAIM.format(
    numbers=f"""
    SELECT number FROM delivery
    WHERE {_IS_DUE} AND {_LAPSES} < {_LAST_CHANCE}
    ORDER BY claimable_at_ms, number LIMIT %(limit)s
    """
)
# The first pending delivery of an endpoint and kind. Compared as rows, so that only the index of
# the pending ones serves: the planner might look for it among all deliveries.
_FIRST = f"""
SELECT {{column}} FROM delivery
WHERE state = 'pending' AND (endpoint, is_replay, number) > (%(endpoint)s, %(replays)s, 0)
AND (endpoint, is_replay, number) < (%(endpoint)s, %(replays)s, {2**63 - 1})
ORDER BY endpoint, is_replay, number LIMIT 1
"""
# An earlier one may still appear beside those that aren't below VISIBLE_BELOW.
FIRST_MADE = _CLAIM.format(
    numbers=f"""
    SELECT number FROM delivery
    WHERE number = ({_FIRST.format(column="number")}) AND number < {VISIBLE_BELOW}
    AND {_IS_DUE} AND {_NONE_CLAIMED}
    AND ({_LAPSES} < {_LAST_CHANCE} OR {_LAPSES} = {_LAST_CHANCE} AND {_NONE_ELSE})
    """
)
FIRST_DUE_AT = """
SELECT claimable_at_ms FROM delivery
WHERE endpoint = %(endpoint)s AND is_replay = %(replays)s AND state = 'pending'
ORDER BY claimable_at_ms, number LIMIT 1
"""
FIRST_MADE_AT = _FIRST.format(column="claimable_at_ms")
NEXT_DUE = """
SELECT asked.endpoint, min(first.claimable_at_ms) AS at_ms
FROM unnest(%(endpoints)s::text[]) AS asked (endpoint)
CROSS JOIN (VALUES (false), (true)) AS kind (is_replay)
CROSS JOIN LATERAL (
    SELECT claimable_at_ms FROM delivery
    WHERE endpoint = asked.endpoint COLLATE "C" AND is_replay = kind.is_replay
    AND state = 'pending'
    ORDER BY claimable_at_ms, number LIMIT 1
) AS first
GROUP BY asked.endpoint
"""


def is_due(
    connection: Connection, endpoint: str, now: datetime, *, replays: bool, in_order: bool
) -> bool:
    """Return whether there may be a delivery to claim or to bury."""
    statement = FIRST_MADE_AT if in_order else FIRST_DUE_AT
    given = {"endpoint": endpoint, "replays": replays}
    at_ms = connection.exec_driver_sql(statement, given).scalar()
    return at_ms is not None and at_ms <= milliseconds_since_epoch(now)


def claim(  # noqa: PLR0913 -- see DeliveryQueue.claim
    connection: Connection,
    endpoint: str,
    limit: int,
    now: datetime,
    until: datetime,
    *,
    replays: bool,
    in_order: bool,
) -> list[Claim]:
    """See DeliveryQueue.claim; the transaction must see what others commit before each statement.

    The locks are held by then, so that no two transactions decide from the same state.
    """
    given = {
        "endpoint": endpoint,
        "replays": replays,
        "now": milliseconds_since_epoch(now),
        "until": milliseconds_since_epoch(until),
        "lease": secrets.token_bytes(LEASE_BYTES),
        "limit": min(limit, MOST_CLAIMS),
    }
    lock_claims(connection, endpoint, alone=in_order)
    has_suspects = connection.exec_driver_sql(HAS_SUSPECTS, given).scalar_one()
    if has_suspects:
        lock_last_chance(connection)
    limit_waits(connection)  # these locks are waited for, but no row
    if has_suspects:
        connection.exec_driver_sql(BURY, given)
    if limit <= 0:
        return []
    if in_order:
        return _claimed(connection, FIRST_MADE, given, until)
    last_chance = _claimed(connection, WITH_LAST_CHANCE, given, until) if has_suspects else []
    return last_chance or _claimed(connection, LONGEST_DUE, given, until)


def next_due(connection: Connection, endpoints: Collection[str]) -> Mapping[str, datetime]:
    """See DeliveryQueue.next_due."""
    rows = connection.exec_driver_sql(NEXT_DUE, {"endpoints": list(endpoints)})
    return {row.endpoint: moment_of(row.at_ms) for row in rows}


def _claimed(
    connection: Connection, statement: str, given: Mapping[str, Any], until: datetime
) -> list[Claim]:
    rows = connection.exec_driver_sql(statement, dict(given)).all()
    return [Claim(delivery_of(row), given["lease"], until) for row in rows]
