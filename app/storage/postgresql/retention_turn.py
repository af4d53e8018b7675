"""Lets one host at a time do retention."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from app.settings import Storage
from app.storage.postgresql.connections import Connections
from app.storage.postgresql.failures import failures_as_unavailable

_LOCK = 0x676F6D61_72657465
# The transaction may take hours, and is idle: so only the end of its host may end it, which the
# server notices within a minute.
_TRY_LOCK = """
SELECT pg_try_advisory_xact_lock(%b),
    set_config('idle_in_transaction_session_timeout', '0', true),
    set_config('tcp_keepalives_idle', '30', true),
    set_config('tcp_keepalives_interval', '10', true),
    set_config('tcp_keepalives_count', '3', true)
"""


@contextmanager
def retention_turn(settings: Storage) -> Iterator[bool]:
    """Yield whether no other host has its turn; raises StorageUnavailable.

    The server takes the turn back when the host dies. It has a connection of its own, or it might
    wait for itself in a pool of one. Its transaction stays open, but with no snapshot and no id: so
    it holds up neither readers nor VACUUM.
    """
    with (
        failures_as_unavailable(),
        closing(Connections(settings)) as connections,
        connections.transaction() as connection,
    ):
        yield bool(connection.exec_driver_sql(_TRY_LOCK, (_LOCK,)).scalar_one())
