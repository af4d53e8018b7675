"""Which objects the database names: those of messages, and those that are about to be erased."""

from collections.abc import Sequence

from sqlalchemy import Connection

# One statement, so that a name that moves from one table to the other is always in one of them.
_NAMED = """
SELECT object_key FROM message WHERE object_key = ANY(%(names)s)
UNION ALL SELECT object_key FROM erasure WHERE object_key = ANY(%(names)s)
"""


def named_among(connection: Connection, names: Sequence[str]) -> set[str]:
    """Return those of `names` that a row has; for up to a few thousand at a time."""
    rows = connection.exec_driver_sql(_NAMED, {"names": list(names)})
    return {name for (name,) in rows}


def has_messages(connection: Connection) -> bool:
    """Return whether any message was stored and not forgotten yet."""
    return bool(connection.exec_driver_sql("SELECT EXISTS (SELECT FROM message)").scalar_one())
