"""Renews claims and stores their results; each function is part of a caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from app.storage.delivery import Claim, Result, State, as_of
from app.storage.ids import milliseconds_since_epoch
from app.storage.postgresql.deliveries.attempts import keep_attempts
from app.storage.postgresql.deliveries.rows import locked
from app.storage.postgresql.texts import stored_text

RENEW = """
UPDATE delivery SET claimable_at_ms = %(until)s WHERE number = ANY(%(numbers)s::bigint[])
"""
FORGIVE = """
UPDATE delivery SET lapses = greatest(lapses - 1, -1) WHERE number = ANY(%(numbers)s::bigint[])
"""
FINISH = f"""
UPDATE delivery SET
    state = given.state,
    due_at_ms = coalesce(given.due_at_ms, delivery.due_at_ms),
    claimable_at_ms = coalesce(given.due_at_ms, delivery.due_at_ms),
    attempts = attempts + given.spends::integer,
    tries = tries + given.tried::integer,
    lapses = CASE
        WHEN given.state = '{State.PENDING}' AND NOT given.tried THEN greatest(lapses, 0) ELSE 0
    END,
    settled_at_ms = CASE WHEN given.state <> '{State.PENDING}' THEN %(now)s::bigint END,
    reason = CASE
        WHEN given.state <> '{State.DELIVERED}' THEN coalesce(given.reason, delivery.reason)
    END,
    lease = NULL
FROM unnest(
    %(numbers)s::bigint[], %(states)s::text[], %(due)s::bigint[], %(spends)s::boolean[],
    %(tried)s::boolean[], %(reasons)s::text[]
) AS given (number, state, due_at_ms, spends, tried, reason)
WHERE delivery.number = given.number RETURNING delivery.number, delivery.tries
"""


def renew(connection: Connection, claims: Sequence[Claim], until: datetime) -> list[Claim]:
    """See DeliveryQueue.renew."""
    held = _held(connection, claims)
    kept = [each for each in claims if _key(each) in held]
    given = {"until": milliseconds_since_epoch(until), "numbers": _numbers(kept)}
    connection.exec_driver_sql(RENEW, given)
    return [replace(each, until=until) for each in kept]


def forgive(connection: Connection, claims: Sequence[Claim]) -> None:
    """See DeliveryQueue.forgive."""
    held = _held(connection, claims)
    kept = [each for each in claims if _key(each) in held]
    connection.exec_driver_sql(FORGIVE, {"numbers": _numbers(kept)})


def finish(connection: Connection, results: Sequence[Result], now: datetime) -> int:
    """See DeliveryQueue.finish; `now` is when they are settled."""
    held = _held(connection, [each.claim for each in results])
    kept = [
        as_of(each, held[key].attempts) for each in results if (key := _key(each.claim)) in held
    ]
    rows = connection.exec_driver_sql(FINISH, _values(kept, now)).all()
    tries = {row.number: row.tries for row in rows}
    made = [
        (number, tries[number], each.attempt)
        for each in kept
        if each.attempt and (number := each.claim.delivery.number)
    ]
    keep_attempts(connection, made)
    return len(kept)


def _held(connection: Connection, claims: Sequence[Claim]) -> Mapping[tuple[int, bytes], Row[Any]]:
    """Lock the deliveries, and return their rows by number and lease."""
    rows = locked(connection, _numbers(claims))
    return {(row.number, row.lease): row for row in rows}


def _numbers(claims: Sequence[Claim]) -> list[int]:
    return [each.delivery.number for each in claims]


def _key(claim: Claim) -> tuple[int, bytes]:
    return claim.delivery.number, claim.lease


def _values(results: Sequence[Result], now: datetime) -> dict[str, object]:
    return {
        "now": milliseconds_since_epoch(now),
        "numbers": [each.claim.delivery.number for each in results],
        "states": [each.state for each in results],
        "due": [
            None if each.due_at is None else milliseconds_since_epoch(each.due_at)
            for each in results
        ],
        "spends": [each.spends for each in results],
        "tried": [each.attempt is not None for each in results],
        "reasons": [None if each.reason is None else stored_text(each.reason) for each in results],
    }
