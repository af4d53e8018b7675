"""Retries, discards, pauses and breakers; each function is part of a caller's transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from app.storage.delivery import OpenBreaker
from app.storage.ids import milliseconds_since_epoch, moment_of
from app.storage.postgresql.deliveries.rows import locked
from app.storage.postgresql.texts import original_text, stored_text

RETRY = """
UPDATE delivery SET
    state = 'pending',
    attempts = 0,
    settled_at_ms = NULL,
    due_at_ms = %(now)s,
    claimable_at_ms = CASE WHEN lease IS NULL THEN %(now)s ELSE claimable_at_ms END,
    lapses = CASE WHEN lease IS NULL THEN 0 ELSE lapses END
WHERE number = ANY(%(numbers)s::bigint[]) RETURNING number
"""
DISCARD = """
UPDATE delivery SET state = 'discarded', settled_at_ms = %(now)s, lease = NULL
WHERE number = ANY(%(numbers)s::bigint[]) AND state IN ('pending', 'dead') RETURNING number
"""
_PAUSE = """
INSERT INTO pause (endpoint, reason) VALUES (%s, %s)
ON CONFLICT (endpoint) DO UPDATE SET reason = excluded.reason
"""
_RESUME = "DELETE FROM pause WHERE endpoint = %s"
_PAUSED = "SELECT endpoint, reason FROM pause ORDER BY endpoint"

_OPEN = """
INSERT INTO open_breaker (endpoint, reason, opened_at_ms) VALUES (%s, %s, %s)
ON CONFLICT (endpoint) DO UPDATE SET reason = excluded.reason
"""
_CLOSE = "DELETE FROM open_breaker WHERE endpoint = %s"
_ALL_OPEN = "SELECT endpoint, reason, opened_at_ms FROM open_breaker ORDER BY endpoint"


def retry(connection: Connection, numbers: Sequence[int], now: datetime) -> list[int]:
    """See DeliveryQueue.retry."""
    return _decide(connection, RETRY, numbers, now)


def discard(connection: Connection, numbers: Sequence[int], now: datetime) -> list[int]:
    """See DeliveryQueue.discard; `now` is when they are settled."""
    return _decide(connection, DISCARD, numbers, now)


def pause(connection: Connection, endpoint: str, reason: str) -> None:
    """See DeliveryQueue.pause."""
    connection.exec_driver_sql(_PAUSE, (endpoint, stored_text(reason)))


def resume(connection: Connection, endpoint: str) -> None:
    """See DeliveryQueue.resume."""
    connection.exec_driver_sql(_RESUME, (endpoint,))


def paused(connection: Connection) -> Mapping[str, str]:
    """See DeliveryQueue.paused."""
    rows = connection.exec_driver_sql(_PAUSED)
    return {row.endpoint: original_text(row.reason) for row in rows}


def open_breaker(connection: Connection, endpoint: str, reason: str, at: datetime) -> None:
    """See DeliveryQueue.open_breaker."""
    values = (endpoint, stored_text(reason), milliseconds_since_epoch(at))
    connection.exec_driver_sql(_OPEN, values)


def close_breaker(connection: Connection, endpoint: str) -> None:
    """See DeliveryQueue.close_breaker."""
    connection.exec_driver_sql(_CLOSE, (endpoint,))


def open_breakers(connection: Connection) -> Mapping[str, OpenBreaker]:
    """See DeliveryQueue.open_breakers."""
    return {
        row.endpoint: OpenBreaker(original_text(row.reason), moment_of(row.opened_at_ms))
        for row in connection.exec_driver_sql(_ALL_OPEN)
    }


def _decide(
    connection: Connection, statement: str, numbers: Sequence[int], now: datetime
) -> list[int]:
    found = [row.number for row in locked(connection, numbers)]
    given = {"numbers": found, "now": milliseconds_since_epoch(now)}
    return sorted(connection.exec_driver_sql(statement, given).scalars())
