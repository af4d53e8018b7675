"""Claims deliveries and stores results; each function is part of a caller's transaction."""

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from app.storage.delivery import POISON, Claim, Result, State, as_of
from app.storage.delivery_queue import MOST_CLAIMS, MOST_LAPSES
from app.storage.ids import milliseconds_since_epoch, moment_of
from app.storage.sqlite.deliveries.attempts import keep_attempts
from app.storage.sqlite.deliveries.rows import chosen, delivery_of

LEASE_BYTES = 16
_LAST_CHANCE = MOST_LAPSES - 1

# The number of claims expired in a row, including the current one if it has expired.
_LAPSES = "lapses + (lease IS NOT NULL)"
# Whether no delivery is claimed for its last attempt now.
_NONE_ELSE = f"""
NOT EXISTS (
    SELECT 1 FROM delivery INDEXED BY delivery_suspect
    WHERE state = 'pending' AND lapses > 0 AND lapses >= {_LAST_CHANCE}
    AND lease IS NOT NULL AND claimable_at_ms > :now
)"""  # noqa: S608 -- constants
# Whether no delivery of the endpoint is claimed now, by any process, live or of a replay.
_NONE_CLAIMED = """
NOT EXISTS (
    SELECT 1 FROM delivery INDEXED BY delivery_leased
    WHERE endpoint = :endpoint AND lease IS NOT NULL AND claimable_at_ms > :now
)"""
BURY = f"""
UPDATE delivery INDEXED BY delivery_suspect
SET state = '{State.DEAD}', reason = '{POISON}', settled_at_ms = :now, lease = NULL, lapses = 0
WHERE state = 'pending' AND lapses > 0 AND endpoint = :endpoint
AND lapses >= {_LAST_CHANCE} AND lease IS NOT NULL AND claimable_at_ms <= :now
RETURNING number
"""  # noqa: S608
_CLAIM = f"""
UPDATE delivery SET lease = :lease, claimable_at_ms = :until, lapses = {_LAPSES}
WHERE number IN ({{numbers}}) {{also}} RETURNING number
"""  # noqa: S608
WITH_LAST_CHANCE = _CLAIM.format(
    numbers=f"""
    SELECT number FROM delivery INDEXED BY delivery_suspect
    WHERE state = 'pending' AND lapses > 0 AND endpoint = :endpoint AND is_replay = :replays
    AND {_LAPSES} = {_LAST_CHANCE} AND claimable_at_ms <= :now AND {_NONE_ELSE} LIMIT 1
    """,  # noqa: S608
    also="",
)
LONGEST_DUE = _CLAIM.format(
    numbers=f"""
    SELECT number FROM delivery INDEXED BY delivery_claimable
    WHERE endpoint = :endpoint AND is_replay = :replays AND state = 'pending'
    AND claimable_at_ms <= :now AND {_LAPSES} < {_LAST_CHANCE}
    ORDER BY claimable_at_ms LIMIT :limit
    """,  # noqa: S608
    also="",
)
FIRST_MADE = _CLAIM.format(
    numbers="""
    SELECT number FROM delivery INDEXED BY delivery_state
    WHERE endpoint = :endpoint AND state = 'pending' AND is_replay = :replays
    ORDER BY number LIMIT 1
    """,
    also=f"""
    AND claimable_at_ms <= :now AND {_NONE_CLAIMED}
    AND ({_LAPSES} < {_LAST_CHANCE} OR {_NONE_ELSE})
    """,
)
HELD = """
SELECT number, lease, attempts FROM delivery
WHERE number IN (SELECT value FROM json_each(?)) AND lease IS NOT NULL
"""
RENEW = """
UPDATE delivery SET claimable_at_ms = ? WHERE number IN (SELECT value FROM json_each(?))
"""
FORGIVE = """
UPDATE delivery SET lapses = max(lapses - 1, -1) WHERE number IN (SELECT value FROM json_each(?))
"""
FINISH = f"""
UPDATE delivery SET
    state = given.state,
    due_at_ms = coalesce(given.due_at_ms, delivery.due_at_ms),
    claimable_at_ms = coalesce(given.due_at_ms, delivery.due_at_ms),
    attempts = attempts + given.spent,
    tries = tries + given.tried,
    lapses = CASE WHEN given.released THEN max(lapses, 0) ELSE 0 END,
    settled_at_ms = given.settled_at_ms,
    reason = CASE given.state
        WHEN '{State.DELIVERED}' THEN NULL ELSE coalesce(given.reason, delivery.reason)
    END,
    lease = NULL
FROM (
    SELECT json_extract(value, '$[0]') AS number, json_extract(value, '$[1]') AS state,
        json_extract(value, '$[2]') AS due_at_ms, json_extract(value, '$[3]') AS spent,
        json_extract(value, '$[4]') AS tried, json_extract(value, '$[5]') AS released,
        json_extract(value, '$[6]') AS settled_at_ms, json_extract(value, '$[7]') AS reason
    FROM json_each(?)
) AS given
WHERE delivery.number = given.number RETURNING delivery.number, delivery.tries
"""  # noqa: S608
FIRST_DUE_AT = """
SELECT claimable_at_ms FROM delivery INDEXED BY delivery_claimable
WHERE endpoint = ? AND is_replay = ? AND state = 'pending' ORDER BY claimable_at_ms LIMIT 1
"""
FIRST_MADE_AT = """
SELECT claimable_at_ms FROM delivery INDEXED BY delivery_state
WHERE endpoint = ? AND state = 'pending' AND is_replay = ? ORDER BY number LIMIT 1
"""
NEXT_DUE = """
SELECT asked.value AS endpoint, (
    SELECT claimable_at_ms FROM delivery INDEXED BY delivery_claimable
    WHERE endpoint = asked.value AND is_replay = kind.column1 AND state = 'pending'
    ORDER BY claimable_at_ms LIMIT 1
) AS at_ms
FROM json_each(?) AS asked CROSS JOIN (VALUES (0), (1)) AS kind
"""


def is_due(
    connection: Connection, endpoint: str, now: datetime, *, replays: bool, in_order: bool
) -> bool:
    """Return whether there may be a delivery to claim or to bury."""
    statement = FIRST_MADE_AT if in_order else FIRST_DUE_AT
    at_ms = connection.exec_driver_sql(statement, (endpoint, int(replays))).scalar()
    return at_ms is not None and at_ms <= milliseconds_since_epoch(now)


def bury(connection: Connection, endpoint: str, now: datetime) -> Sequence[int]:
    """Make deliveries dead whose last attempt has expired, and return their numbers."""
    given = {"endpoint": endpoint, "now": milliseconds_since_epoch(now)}
    return connection.exec_driver_sql(BURY, given).scalars().all()


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
    """See DeliveryQueue.claim; call `bury` first."""
    lease = secrets.token_bytes(LEASE_BYTES)
    given = {
        "endpoint": endpoint,
        "replays": int(replays),
        "now": milliseconds_since_epoch(now),
        "until": milliseconds_since_epoch(until),
        "lease": lease,
        "limit": min(limit, MOST_CLAIMS),
    }
    statements = [FIRST_MADE] if in_order else [WITH_LAST_CHANCE, LONGEST_DUE]
    for statement in statements if limit > 0 else ():
        numbers = connection.exec_driver_sql(statement, given).scalars().all()
        if numbers:
            return [Claim(delivery_of(row), lease, until) for row in chosen(connection, numbers)]
    return []


def renew(connection: Connection, claims: Sequence[Claim], until: datetime) -> list[Claim]:
    """See DeliveryQueue.renew."""
    held = _still_held(connection, claims)
    connection.exec_driver_sql(RENEW, (milliseconds_since_epoch(until), _numbers(held)))
    return [replace(each, until=until) for each in held]


def forgive(connection: Connection, claims: Sequence[Claim]) -> None:
    """See DeliveryQueue.forgive."""
    connection.exec_driver_sql(FORGIVE, (_numbers(_still_held(connection, claims)),))


def finish(connection: Connection, results: Sequence[Result], now: datetime) -> list[Result]:
    """Store the results of claims that are still held, and return them as they were stored."""
    now_ms = milliseconds_since_epoch(now)
    held = _held(connection, [each.claim for each in results])
    kept = [
        as_of(each, held[key].attempts) for each in results if (key := _key(each.claim)) in held
    ]
    given = json.dumps([_values(each, now_ms) for each in kept])
    tries = {row.number: row.tries for row in connection.exec_driver_sql(FINISH, (given,)).all()}
    made = [
        (number, tries[number], each.attempt)
        for each in kept
        if each.attempt and (number := each.claim.delivery.number)
    ]
    keep_attempts(connection, made)
    return kept


def next_due(connection: Connection, endpoints: Collection[str]) -> Mapping[str, datetime]:
    """See DeliveryQueue.next_due."""
    rows = connection.exec_driver_sql(NEXT_DUE, (json.dumps(list(endpoints)),)).all()
    first: dict[str, int] = {}
    for row in rows:
        if row.at_ms is not None:
            first[row.endpoint] = min(row.at_ms, first.get(row.endpoint, row.at_ms))
    return {endpoint: moment_of(at_ms) for endpoint, at_ms in first.items()}


def _still_held(connection: Connection, claims: Sequence[Claim]) -> list[Claim]:
    held = _held(connection, claims)
    return [each for each in claims if _key(each) in held]


def _held(connection: Connection, claims: Sequence[Claim]) -> Mapping[tuple[int, bytes], Row[Any]]:
    """Return the rows that anybody has claimed, by number and lease."""
    rows = connection.exec_driver_sql(HELD, (_numbers(claims),)).all()
    return {(row.number, row.lease): row for row in rows}


def _numbers(claims: Sequence[Claim]) -> str:
    return json.dumps([each.delivery.number for each in claims])


def _key(claim: Claim) -> tuple[int, bytes]:
    return claim.delivery.number, claim.lease


def _values(result: Result, now_ms: int) -> list[object]:
    is_pending = result.state is State.PENDING
    is_released = is_pending and result.attempt is None
    return [
        result.claim.delivery.number,
        result.state,
        None if result.due_at is None else milliseconds_since_epoch(result.due_at),
        int(result.spends),
        int(result.attempt is not None),
        int(is_released),
        None if is_pending else now_ms,
        result.reason,
    ]
