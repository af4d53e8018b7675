"""Locks over all hosts that transactions hold until they end.

A transaction takes them in the order of their definition here, before it waits for any message or
delivery.
"""

from sqlalchemy import Connection

# The first of the two numbers of an advisory lock; the second tells endpoints apart.
_CLAIMS, _LAST_CHANCE, _REPLAYS = 7_001, 7_002, 7_003

_ALONE = "SELECT pg_advisory_xact_lock(%s, hashtext(%s))"
_SHARED = "SELECT pg_advisory_xact_lock_shared(%s, hashtext(%s))"


def lock_claims(connection: Connection, endpoint: str, *, alone: bool) -> None:
    """Lock the claims of an endpoint, which go beside each other unless one is `alone`."""
    connection.exec_driver_sql(_ALONE if alone else _SHARED, (_CLAIMS, endpoint))


def lock_last_chance(connection: Connection) -> None:
    """Lock the claims of deliveries for their last attempt, of all endpoints."""
    connection.exec_driver_sql(_ALONE, (_LAST_CHANCE, ""))


def lock_replays(connection: Connection, endpoint: str) -> None:
    """Lock the making of deliveries by replays to an endpoint."""
    connection.exec_driver_sql(_ALONE, (_REPLAYS, endpoint))
