"""Tells whether the server keeps what it acknowledges, as it is set at the moment."""

from sqlalchemy import Connection

from app.errors import StorageUnavailable

# Settings may change under a running server: therefore writing statements look at them themselves.
# Between two statements of a process they can change, within one they can't.
IS_KEPT = (
    "(current_setting('synchronous_commit') IN ('on', 'remote_write', 'remote_apply')"
    " AND current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on')"
)
"""An expression of SQL."""
PIN = "set_config('synchronous_commit', current_setting('synchronous_commit'), true)"
"""An expression of SQL that keeps the setting until the end of the transaction."""

_LOOK = f"""
SELECT {IS_KEPT}, {PIN}, current_setting('fsync'), current_setting('full_page_writes')
"""


def refuse_unless_kept(connection: Connection) -> None:
    """Raise StorageUnavailable unless the server keeps what the transaction commits."""
    is_kept, synchronous_commit, fsync, full_page_writes = connection.exec_driver_sql(_LOOK).one()
    if not is_kept:
        raise StorageUnavailable(
            "The database server wouldn't keep what it acknowledges: synchronous_commit is"
            f" {synchronous_commit}, fsync {fsync}, full_page_writes {full_page_writes}."
        )
