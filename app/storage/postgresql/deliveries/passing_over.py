"""Lets transactions pass over locked rows without ever waiting in a circle.

SKIP LOCKED waits for nobody, but for one case: another transaction has changed the row and ends
while the server looks at it, and a third one has locked the new version by then. The server waits
for that one. Since rows that are passed over are locked in any order, the third one may be waiting
for one of those that are locked already. So whoever passes over rows gives up such a wait, which
frees its own rows, and begins anew.
"""

from collections.abc import Callable
from typing import TypeVar

from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import Connection

from app.errors import StorageUnavailable

Value = TypeVar("Value")

MOST_TRIES = 50
"""After which something else must be wrong, such as a lock of the whole table."""
# Well below the second after which servers look for circles: they might end the other transaction.
_LIMIT_WAITS = "SET LOCAL lock_timeout = '100ms'"


def limit_waits(connection: Connection) -> None:
    """Let the transaction fail when it waits for a lock from now on."""
    connection.exec_driver_sql(_LIMIT_WAITS)


def passing_over(transaction: Callable[[], Value]) -> Value:
    """Run `transaction`, which limits its waits, until none was cut off; return its result."""
    for _ in range(MOST_TRIES - 1):
        try:
            return transaction()
        except StorageUnavailable as failure:
            if not isinstance(failure.__cause__, DeadlockDetected | LockNotAvailable):
                raise
    return transaction()
