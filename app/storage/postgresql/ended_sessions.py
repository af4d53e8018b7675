"""Sessions that were ended by a logout, in a table that all hosts share."""

from dataclasses import replace

from app.settings import Storage
from app.state.ended_sessions import MOST_KEPT
from app.storage.postgresql.connections import Connections
from app.storage.postgresql.failures import failures_as_unavailable

_CONTAINS = "SELECT EXISTS (SELECT FROM ended_session WHERE id = %b)"
_END = """
INSERT INTO ended_session (id, expires_at) VALUES (%b, %b)
ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at
"""
# Others may be forgetting the same ones: these are skipped instead of waited for. All lock them in
# one order, since even SKIP LOCKED may wait for a row that changes at that moment.
_FORGET = """
DELETE FROM ended_session WHERE id IN (
    SELECT id FROM ended_session
    WHERE expires_at <= %b OR expires_at < (
        SELECT expires_at FROM ended_session
        ORDER BY expires_at DESC OFFSET %b LIMIT 1
    )
    ORDER BY id FOR UPDATE SKIP LOCKED
)
"""


class EndedSessionsTable:
    """The ids of ended sessions; see app.state.ended_sessions.EndedSessions."""

    def __init__(self, settings: Storage) -> None:
        """Connect when it is first used, and with one connection, since people are few."""
        self._connections = Connections(replace(settings, pool_size=1))

    def end(self, session_id: str, expires: int, now: float) -> None:
        """See EndedSessions.end."""
        with failures_as_unavailable(), self._connections.durable_statements() as connection:
            connection.exec_driver_sql(_END, (session_id, expires))
            connection.exec_driver_sql(_FORGET, (int(now), MOST_KEPT - 1))

    def __contains__(self, session_id: str) -> bool:
        """See EndedSessions.__contains__."""
        with failures_as_unavailable(), self._connections.statements() as connection:
            return bool(connection.exec_driver_sql(_CONTAINS, (session_id,)).scalar_one())

    def close(self) -> None:
        """See EndedSessions.close."""
        self._connections.close()
