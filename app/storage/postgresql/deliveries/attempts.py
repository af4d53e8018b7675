"""Stores the attempts of deliveries; each function is part of a caller's transaction."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from app.storage.delivery import KEPT_ATTEMPTS, MOST_ANSWER_BYTES, Attempt
from app.storage.ids import milliseconds_since_epoch, moment_of
from app.storage.postgresql.deliveries.passing_over import limit_waits
from app.storage.postgresql.texts import original_text, stored_text

FORGOTTEN_AT_ONCE = 1000

# A new attempt replaces the one with the same slot, KEPT_ATTEMPTS before it.
KEEP = """
INSERT INTO attempt (delivery, slot, at_ms, address, status, duration_ms, error, answer)
SELECT * FROM unnest(
    %(deliveries)s::bigint[], %(slots)s::integer[], %(at)s::bigint[], %(addresses)s::text[],
    %(statuses)s::integer[], %(durations)s::bigint[], %(errors)s::text[], %(answers)s::bytea[]
)
ON CONFLICT (delivery, slot) DO UPDATE SET
    at_ms = excluded.at_ms, address = excluded.address, status = excluded.status,
    duration_ms = excluded.duration_ms, error = excluded.error, answer = excluded.answer
"""
OF_DELIVERY = f"""
SELECT at_ms, address, status, duration_ms, error, answer FROM attempt
WHERE delivery = %(delivery)s
ORDER BY (slot + {KEPT_ATTEMPTS} - 1 - %(tries)s::integer %% {KEPT_ATTEMPTS}) %% {KEPT_ATTEMPTS}
"""
FORGET = """
DELETE FROM attempt WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM attempt WHERE at_ms < %(before)s
    ORDER BY at_ms LIMIT %(most)s FOR UPDATE SKIP LOCKED
))
"""


def keep_attempts(connection: Connection, made: Sequence[tuple[int, int, Attempt]]) -> None:
    """Store attempts, each with the number of its delivery and its position among its attempts."""
    if made:
        connection.exec_driver_sql(KEEP, _values(made))


def attempts_of(connection: Connection, delivery: int, tries: int) -> list[Attempt]:
    """Return the attempts of a delivery that was tried `tries` times, oldest first."""
    given = {"delivery": delivery, "tries": tries}
    return [attempt_of(row) for row in connection.exec_driver_sql(OF_DELIVERY, given)]


def attempt_of(row: Row[Any]) -> Attempt:
    """Return the attempt in a row."""
    return Attempt(
        moment_of(row.at_ms),
        row.address,
        row.status,
        row.duration_ms,
        None if row.error is None else original_text(row.error),
        row.answer,
    )


def forget_some(connection: Connection, before_ms: int) -> bool:
    """Delete some attempts from before `before_ms`; return whether there may be more.

    Those that another transaction has locked stay: it replaces or deletes them.
    """
    limit_waits(connection)
    given = {"before": before_ms, "most": FORGOTTEN_AT_ONCE}
    return connection.exec_driver_sql(FORGET, given).rowcount == FORGOTTEN_AT_ONCE


def _values(made: Sequence[tuple[int, int, Attempt]]) -> dict[str, object]:
    attempts = [attempt for _, _, attempt in made]
    return {
        "deliveries": [delivery for delivery, _, _ in made],
        "slots": [tries % KEPT_ATTEMPTS for _, tries, _ in made],
        "at": [milliseconds_since_epoch(each.at) for each in attempts],
        "addresses": [each.address for each in attempts],
        "statuses": [each.status for each in attempts],
        "durations": [each.duration_ms for each in attempts],
        "errors": [None if each.error is None else stored_text(each.error) for each in attempts],
        "answers": [each.answer[:MOST_ANSWER_BYTES] for each in attempts],
    }
