"""Stores the attempts of deliveries; each function is part of a caller's transaction."""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain

from sqlalchemy import Connection

from app.storage.delivery import KEPT_ATTEMPTS, MOST_ANSWER_BYTES, Attempt
from app.storage.ids import milliseconds_since_epoch, moment_of

FORGOTTEN_AT_ONCE = 500

FOLLOWING = "SELECT number, at_ms FROM attempt WHERE number > ? ORDER BY number LIMIT ?"
FORGET = "DELETE FROM attempt WHERE number IN (SELECT value FROM json_each(?))"
OF_DELIVERY = """
SELECT at_ms, address, status, duration_ms, error, answer
FROM attempt WHERE delivery = ? ORDER BY number
"""


def keep_attempts(connection: Connection, made: Sequence[tuple[int, int, Attempt]]) -> None:
    """Store attempts, each with the number of its delivery and its position among its attempts."""
    for piece in _pieces(made):
        values = chain.from_iterable(_values(*each) for each in piece)
        connection.exec_driver_sql(_keep_sql(len(piece)), tuple(values))


def attempts_of(connection: Connection, delivery: int) -> list[Attempt]:
    """Return the attempts of a delivery, oldest first."""
    return [
        Attempt(
            moment_of(row.at_ms), row.address, row.status, row.duration_ms, row.error, row.answer
        )
        for row in connection.exec_driver_sql(OF_DELIVERY, (delivery,))
    ]


def forget_some(connection: Connection, before_ms: int, now_ms: int, after: int) -> int | None:
    """Delete the old ones of the FORGOTTEN_AT_ONCE attempts stored after the one numbered `after`.

    Return the number of the last one, None if there can be no more.
    """
    rows = connection.exec_driver_sql(FOLLOWING, (after, FORGOTTEN_AT_ONCE)).all()
    old = [row.number for row in rows if row.at_ms < before_ms]
    if old:
        connection.exec_driver_sql(FORGET, (json.dumps(old),))
    # They are stored in the order of time, except for those made while the clock was ahead.
    is_end = len(rows) < FORGOTTEN_AT_ONCE or any(before_ms <= r.at_ms <= now_ms for r in rows)
    return None if is_end else int(rows[-1].number)


def _pieces(
    made: Sequence[tuple[int, int, Attempt]],
) -> Iterator[Sequence[tuple[int, int, Attempt]]]:
    # Powers of two: each connection keeps the statements it has prepared, and one for each number
    # of attempts took 2 MiB.
    start = 0
    while left := len(made) - start:
        size = 1 << left.bit_length() - 1
        yield made[start : start + size]
        start += size


def _values(delivery: int, tries: int, attempt: Attempt) -> tuple[object, ...]:
    return (
        delivery,
        tries % KEPT_ATTEMPTS,
        milliseconds_since_epoch(attempt.at),
        attempt.address,
        attempt.status,
        attempt.duration_ms,
        attempt.error,
        attempt.answer[:MOST_ANSWER_BYTES],
    )


@cache
def _keep_sql(count: int) -> str:
    rows = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * count)
    # A new attempt replaces the one with the same slot, KEPT_ATTEMPTS before it.
    return f"""
    INSERT OR REPLACE INTO attempt
        (delivery, slot, at_ms, address, status, duration_ms, error, answer)
    VALUES {rows}
    """  # noqa: S608 -- only marks
