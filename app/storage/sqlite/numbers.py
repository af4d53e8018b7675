"""Numbers that tell the order of arrival, over all processes; none is ever given twice.

Deliveries have some of them, which tell the order in which they were made.

A number is the time in microseconds, or one more than the last number if that is greater. So a
database that was made anew continues ahead of all numbers that were given before, though it knows
none of them. (Kulkarni et al., "Logical Physical Clocks", 2014.)
"""

import time
from collections.abc import Callable

from sqlalchemy import Connection, func, select

from app.state.lock_file import LockFile
from app.storage.sqlite.tables import deliveries, messages


def microseconds() -> int:
    """Return the time since 1970."""
    return time.time_ns() // 1000


def next_numbers(
    lock: LockFile, connection: Connection, count: int, clock: Callable[[], int] = microseconds
) -> range:
    """Return `count` new numbers; the caller holds `lock`, whose file has the last one.

    `connection` is asked when the file doesn't have it. Raises OSError, SQLAlchemyError.
    """
    noted = lock.read()
    last = int(noted) if noted.isdecimal() else 0
    if not last:  # the file is new, or version 0.1 has written it
        last = highest_number(connection)
    first = max(last + 1, clock())
    lock.write(str(first + count - 1))
    return range(first, first + count)


def highest_number(connection: Connection) -> int:
    """Return the highest number of a row, 0 without rows; raises SQLAlchemyError."""
    tables = (messages, deliveries)
    found = [connection.execute(select(func.max(each.c.number))).scalar() for each in tables]
    return max(number or 0 for number in found)


def note_number(lock: LockFile, number: int) -> None:
    """Note a number that was given otherwise; the caller holds `lock`. Raises OSError."""
    if not is_noted(lock, number):
        lock.write(str(number))


def is_noted(lock: LockFile, number: int) -> bool:
    """Return whether the note has `number` or a higher one; raises OSError."""
    noted = lock.read()
    return noted.isdecimal() and int(noted) >= number
