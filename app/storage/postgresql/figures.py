"""What is stored, and what was done with it, in numbers."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection

from app.storage.ids import milliseconds_since_epoch, moment_of
from app.storage.message import Reason, Statistics
from app.storage.postgresql.connections import Connections

REMOVALS = """
SELECT coalesce(sum(change), 0)::bigint FROM tally WHERE starts_with(name, 'deleted_')
"""
"""The statement for the number of messages that were ever removed."""
MOST_TALLIES = 500
_LOCK = 0x676F6D61_74616C6C

_VALUES = """
SELECT name, sum(change)::bigint AS value FROM tally GROUP BY name
UNION ALL SELECT name, value FROM figure
UNION ALL SELECT 'tallies', count(*) FROM tally
"""
_SET = """
INSERT INTO figure (name, value) VALUES (%b, %b)
ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
_TRY_LOCK = "SELECT pg_try_advisory_xact_lock(%b)"
_MERGE = """
WITH merged AS (DELETE FROM tally RETURNING name, change)
INSERT INTO tally (name, change) SELECT name, sum(change) FROM merged GROUP BY name
"""


class Figures:
    """Every method raises SQLAlchemyError.

    Writers only add rows to the table `tally`, since they would wait for each other's commits to
    change one; those who read the figures merge the rows.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def statistics(self) -> Statistics:
        """See MessageStore.statistics."""
        with self._connections.statements() as connection:
            values = _values(connection)
        if values["tallies"] > MOST_TALLIES:
            self._merge()
        ran_at = values.get("retention_ran_at_ms")
        return Statistics(
            messages=values.get("messages", 0),
            bytes=values.get("bytes", 0),
            deleted={reason: values.get(f"deleted_{reason}", 0) for reason in Reason},
            passed_over=0,
            retention_ran_at=None if ran_at is None else moment_of(ran_at),
            kept_for_delivery=values.get("kept_for_delivery", 0),
        )

    def note_retention(self, at: datetime, kept_for_delivery: int) -> None:
        """See MessageStore.note_retention."""
        with self._connections.transaction() as connection:
            set_to(connection, "retention_ran_at_ms", milliseconds_since_epoch(at))
            set_to(connection, "kept_for_delivery", kept_for_delivery)

    def _merge(self) -> None:
        with self._connections.transaction() as connection:
            # Nobody waits for a standby to read figures: what is lost of this is done again.
            connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            if connection.exec_driver_sql(_TRY_LOCK, (_LOCK,)).scalar_one():
                connection.exec_driver_sql(_MERGE)


def set_to(connection: Connection, name: str, value: int) -> None:
    """Set a figure; raises SQLAlchemyError."""
    connection.exec_driver_sql(_SET, (name, value))


def _values(connection: Connection) -> Mapping[str, int]:
    return {row.name: row.value for row in connection.exec_driver_sql(_VALUES)}
